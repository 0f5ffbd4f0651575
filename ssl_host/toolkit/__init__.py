"""What methods share: queues, schedules, gathering over processes, synchronised batch norm."""
