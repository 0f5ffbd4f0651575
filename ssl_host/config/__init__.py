"""From INI text to validated settings that know where each value came from."""
