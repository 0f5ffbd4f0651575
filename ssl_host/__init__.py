"""Public names of ssl-host, imported lazily so that listing them does not import torch.

``__init__.pyi`` lists the names and the modules that define them.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
