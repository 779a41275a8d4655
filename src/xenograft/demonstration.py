"""Everything once, offline, on synthetic images: phantoms, probe against scratch, report, bundle, prediction."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from xenograft import api
from xenograft.bundle import Prediction
from xenograft.data.phantom import SYNTHETIC_MARK, write_phantoms
from xenograft.errors import printable
from xenograft.storage import check_output
from xenograft.study.record import Study
from xenograft.study.watch import Silent, Watcher

IMAGES = 560
SIZE = 96  # pixels: scratch training then takes less than a minute on two cores


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What `demo` made.

    Args:
        study: probe and scratch on phantoms. page: the report to open. bundle: folder of the fitted probe.
        predictions: of a few test images. drift: see `FitResult`.
    """

    study: Study
    page: Path
    bundle: Path
    predictions: tuple[Prediction, ...]
    drift: float


def demo(output: str | Path = "xenograft-demo", *, watcher: Watcher | None = None) -> DemoResult:
    """Run the main job on computer-generated chest radiographs with the ImageNet weights that are installed.

    Args:
        output: a new folder, or one that a demo made before.

    Raises:
        UsageError: the folder exists and is something else.
    """
    watcher = watcher or Silent()
    folder = Path(output)
    images = folder / "phantoms"
    check_output(folder, "a demo", f"{images.name}/{SYNTHETIC_MARK}")
    if not (images / SYNTHETIC_MARK).is_file():
        watcher.say(f"drawing {IMAGES} synthetic chest radiographs into {printable(images)}")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".drawing-") as aside:  # all of them, or none
            write_phantoms(Path(aside) / "phantoms", count=IMAGES, size=SIZE, seed=7).replace(images)
    study = api.compare(
        images,
        output=folder / "study",
        backbones="efficientnet_lite0",
        recipes="probe,scratch",
        seeds=1,
        size=SIZE,
        epochs=10,
        batch_size=32,
        precision="f32",  # so that the recorded scores are the bundle's
        offline=True,
        watcher=watcher,
        command="xenograft demo",
    )
    probe = next(run for run in study.runs if run.recipe == "probe")
    watcher.say("exporting the probe as a bundle and predicting eight test images with it")
    bundle, drift = api.export(study, probe.id, folder / "bundle", watcher=watcher)
    shown = [sorted((images / "test" / name).iterdir())[:4] for name in study.record.classes]
    predictions = api.predict(bundle, [path for paths in shown for path in paths], output=folder / "predictions.csv")
    return DemoResult(study, folder / "study" / "report" / "index.html", folder / "bundle", tuple(predictions), drift)
