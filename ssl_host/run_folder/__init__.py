"""Read, write and lock run folders, and compare their configuration with a new one."""
