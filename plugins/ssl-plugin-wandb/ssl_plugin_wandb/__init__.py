"""Logger for Weights & Biases."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_loggers(register: Register) -> None:
    register(
        "wandb", "ssl_plugin_wandb.logger:WandB", "Weights & Biases, with or without an account"
    )
