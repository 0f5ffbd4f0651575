"""Data source for images in HDF5 files."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_data(register: Register) -> None:
    register("hdf5", "ssl_plugin_hdf5.source:HDF5", "images in the datasets of HDF5 files")
