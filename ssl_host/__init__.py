"""Public names of ssl-host, loaded when they are first used, so that lists import no torch.

``__init__.pyi`` lists the names and the modules that define them.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
