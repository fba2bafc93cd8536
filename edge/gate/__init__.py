"""The reference controller: opens a gate for a part only on an in-time final good for that very part.

`Gate` decides and touches no socket; `Controller` joins it to a station. They need the standard library, pyzmq and
pydantic.

    belt = SteadyBelt(travel_ms=1000, lead_ms=50)
    log = GateLog(Path("gate.jsonl"))
    endpoint = Endpoint.of("tcp://192.168.1.20:5570", keys=read_client_keys(Path("gate1.key")))
    controller = Controller([endpoint], "line1", "gate1", belt, actuate, Rules(), log)
    while True:
        controller.turn()

`actuate` is the site's own function: it is called with each `Decision` when its part is `lead_ms` before the gate. It
opens the gate for a part that passes, and keeps it closed otherwise and afterwards. An `Actuation` does the same with
actuators, which it puts into their safe state when one of them fails.
"""

TRANSIT_MS = 50.0
"""How long after the budget, which ends with the publication, a verdict may come; a gate may be given another time."""
