"""Digital outputs that a gate switches: when, by which thread, and over which wire.

windows.py     when the outputs are on, computed from decisions
driver.py      the thread that switches them, notices a loss and tries again
coils.py       coils of a module over Modbus TCP
lines.py       lines of a GPIO chip
settings.py    the file that says which output is which
"""
