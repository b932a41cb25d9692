"""The nightly job applies the retention to the deployment, and tells in its run what it did."""

import os

from twin_assets.core.authors import Author, Source
from twin_assets.definitions import build_defs


def test_the_nightly_job_keeps_house(workspace):
    folder = workspace.settings.imports_folder / "ada" / "linkedin"
    folder.mkdir(parents=True)
    for name in ("replaced.zip", "used.zip"):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (1, 1))
    used = Source(platform="linkedin", location="imports/ada/linkedin/used.zip")
    workspace.authors.save(Author(id="ada", name="Ada", sources=(used,)))
    feedback = {"author": "ada", "feedback_id": "f", "draft_id": "d", "rating": 5}
    for number in range(9):
        workspace.lake.append("feedback", [feedback | {"feedback_id": f"f{number}"}])

    done = build_defs(settings=workspace.settings).get_job_def("housekeeping").execute_in_process()

    assert [path.name for path in folder.iterdir()] == ["used.zip"]
    assert len(workspace.lake.delta("feedback").file_uris()) == 1
    assert workspace.lake.read("feedback").height == 9
    (output,) = (event.step_output_data for event in done.all_events if event.is_successful_output)
    assert output.metadata["files merged"].value == 9
    assert output.metadata["replaced exports removed"].value == ["imports/ada/linkedin/replaced.zip"]
