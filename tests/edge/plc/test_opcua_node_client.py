"""node-opcua-client reads the station of edge-plc: `npm install --ignore-scripts` in tests/support/opcua_client."""

import json
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from support.line import ROOT
from support.opcua import JUDGED, NodeSet, reads, serving

from edge.plc.codes import Code

NODE_CLIENT = ROOT / "tests" / "support" / "opcua_client"
NODE_SET = NodeSet()
MODE = "VisionStateMachine.AutomaticModeStateMachine"


def test_a_client_of_another_make_decodes_the_state_the_result_and_its_event() -> None:
    if shutil.which("node") is None:
        pytest.skip("no node here")
    if not (NODE_CLIENT / "node_modules" / "node-opcua-client").is_dir():
        pytest.skip(f"no node-opcua-client: npm install --ignore-scripts in {NODE_CLIENT}")
    paths = [
        "VisionStateMachine.CurrentState.Id", f"{MODE}.CurrentState.Id", "SystemState",
        "ResultManagement.Results.Latest", "RecipeManagement.Recipes.Active.InternalId",
        "RecipeManagement.Recipes.Active.LastModified",
    ]  # fmt: skip
    told: dict[str, list[Any]] = {}
    with serving(heard=(None, "demo@0123456789ab")) as server:
        server.enter("line1", JUDGED)
        line = ["node", NODE_CLIENT / "read.mjs", f"opc.tcp://{server.endpoint}/edge", "2", *paths]
        reads(server.endpoint, lambda reader: reader.until("ResultManagement.Results.Latest.IsPartial", False))
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for said in (json.loads(text) for text in process.stdout if text.startswith("{")):
                told.setdefault(said.pop("kind"), []).append(said)
                if "subscribed" in told and "event" not in told:
                    server.enter("line1", JUDGED)
                    server.enter("line1", replace(JUDGED, event="withdrawn", code=Code.EXPIRED))
        assert process.returncode == 0
    assert told["systems"] == [{"names": ["line1"]}]
    assert told["call"] == [{"status": "BadNotExecutable"}]
    value = {one["path"]: one for one in told["value"]}
    state, mode, system, latest, recipe, modified = (value[path] for path in paths)
    assert state["value"].endswith(f";i={NODE_SET.named('Operational')}")
    assert mode["value"].endswith(f";i={NODE_SET.named('ContinuousExecution')}")
    assert system["value"] == {"state": 1, "stateDescription": "executing"}
    assert (latest["type"], latest["value"]["partId"]) == ("ResultDataType", {"id": "P7"})
    assert (recipe["type"], recipe["value"]["id"]) == ("RecipeIdInternalDataType", "demo")
    assert (modified["status"], modified["value"]) == ("BadNoData", None)
    passed, fell = told["event"]
    assert (passed["ResultId"], passed["PartId"], passed["ResultState"]) == ({"id": "ab12-7"}, {"id": "P7"}, 1)
    assert (passed["IsSimulated"], passed["Number"], passed["Code"]) == (True, 4711, 1)
    assert (passed["InternalRecipeId"]["id"], passed["CreationTime"]) == ("demo", "2026-03-04T05:06:07.250Z")
    assert passed["ProcessingTimes"]["processingDuration"] == 8
    assert (fell["ResultId"], fell["ResultState"], fell["Code"]) == ({"id": "ab12-7-withdrawn"}, 4, 40)
