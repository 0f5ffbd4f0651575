"""Data source for Parquet files and Hugging Face datasets on disk."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_data(register: Register) -> None:
    register(
        "parquet",
        "ssl_plugin_parquet.source:Parquet",
        "Parquet files, or a Hugging Face dataset on disk",
    )
