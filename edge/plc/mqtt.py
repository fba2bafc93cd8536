"""MQTT: states and verdicts of the stations to a broker, for the record; it moves nothing.

The verdicts are read from the journals, in their order, and a cursor says how far the broker has them: what was judged
while the broker was away follows when it is back.
"""

import json
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

from edge.plc.board import Board
from edge.plc.broker import BrokerThread
from edge.plc.codes import STATE_CODES
from edge.plc.journal_forwarding import Row
from edge.plc.settings import MqttTable

NAMES = {number: str(state) for state, number in STATE_CODES.items()}
TAKEN = (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN)
"""Without a connection paho keeps a message of QoS 1 for the next one."""


class MqttPublisher(BrokerThread):
    """Publishes from `start` until `close`.

    TOPIC/NAME/online is 1 while this process is connected, retained; the broker sets it to 0 when the process is gone.
    TOPIC/STATION/state is retained and published when it changes. TOPIC/STATION/verdict has each verdict of the
    journal as the station published it, with QoS 1, in order. A verdict whose acknowledgement did not come is published
    again in the next connection: `epoch` and `seq` name it.
    """

    def __init__(self, board: Board, stations: list[str], name: str, table: MqttTable) -> None:
        """Read the cursor. Raises ChannelError, ConfigError or KeyFileError, in one line."""
        super().__init__(f"edge-plc-{name}", "MQTT", "[plc.mqtt]", stations, table)
        self._board, self._stations, self._topic = board, stations, table.topic
        self._online = f"{table.topic}/{name}/online"
        self._client.will_set(self._online, "0", qos=1, retain=True)
        self._client.on_publish = self._published
        self._states: dict[str, str] = {}
        self._begun = 0

    def _published(self, client: mqtt.Client, data: Any, message: int, reason: Any, properties: Any) -> None:
        """In the thread of paho: the broker has this message."""
        self.journals.acknowledge(message)

    def _turn(self) -> None:
        if (connection := self.connection) != self._begun:
            self._begun = connection
            self._states.clear()
            self._client.publish(self._online, "1", qos=1, retain=True)
        for index, station in enumerate(self._stations):
            if (state := _state(self._board, index)) != self._states.get(station):
                self._states[station] = state
                self._client.publish(f"{self._topic}/{station}/state", state, qos=1, retain=True)
        self.journals.settle()
        self.journals.forward(self._publish)

    def _publish(self, station: str, row: Row) -> int | None:
        info = self._client.publish(f"{self._topic}/{station}/verdict", row.text, qos=1)
        return info.mid if info.rc in TAKEN else None

    def _leave(self) -> None:
        self._client.publish(self._online, "0", qos=1, retain=True)
        self.journals.settle()


def _state(board: Board, index: int) -> str:
    """The retained state of a station, as JSON."""
    image = board.image(index)
    said = {"state": NAMES.get(image.state), "ready": image.ready, "epoch": image.epoch or None}
    said |= {"bundle": image.bundle or None, "product": image.product_name or None}
    return json.dumps(said | {"overruns": image.overruns, "error": image.error.name.lower()})
