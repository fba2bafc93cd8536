"""What a station spends on a frame: processor time, context switches and bytes of each process, and of each step."""
