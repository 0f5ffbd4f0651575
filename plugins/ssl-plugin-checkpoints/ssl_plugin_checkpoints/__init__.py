"""Starting from checkpoints of solo-learn, lightly and other projects."""

ssl_host_api = 1
