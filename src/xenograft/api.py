"""The verbs as functions: the one place where study, report, export and bundle meet."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from xenograft import bundle as bundles
from xenograft import caching, choosing
from xenograft.auditing import record as audits
from xenograft.auditing.record import Audit
from xenograft.backbones import catalog
from xenograft.backbones import weights as weight_files
from xenograft.bundle import Bundle, Prediction
from xenograft.errors import Notice, UsageError, WeightsError, printable
from xenograft.storage import check_output
from xenograft.study.config import INCIDENTAL, StudyConfig, make_config, read_toml
from xenograft.study.record import Study
from xenograft.study.watch import Silent, Watcher

if TYPE_CHECKING:
    from xenograft.reporting.checked_table import TableCheck


def cache_folder(given: Path | None = None) -> Path:
    """Where features and downloaded weights are kept: as given, $XENOGRAFT_CACHE, or the user's cache folder."""
    return Path(given or os.environ.get("XENOGRAFT_CACHE") or platformdirs.user_cache_dir("xenograft"))


def compare(
    data: str | Path | None = None,
    *,
    output: str | Path = "study",
    config: str | Path | None = None,
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> Study:
    """Compare backbones x recipes x seeds on one data set, and write the study with its report.

    Args:
        data: folder (``split/class/file`` or ``class/file``), CSV, TSV or Parquet.
        output: folder of the study; a study in it that stopped half-way is finished, not repeated.
        config: TOML file with the same keys as `settings`; settings given here win.
        settings: fields of `StudyConfig` and `IngestOptions`, e.g. ``backbones="paper"``, ``seeds=3``.

    Returns:
        The study; its page is ``output/report/index.html``.

    Example:
        >>> study = compare("chest", backbones="efficientnet_lite0", recipes="probe,scratch")  # doctest: +SKIP
    """
    from xenograft.study.run import run_study

    made = _config(data, config, settings)
    study = run_study(
        made,
        Path(output),
        cache=cache_folder(made.cache_dir),
        watcher=watcher,
        command=command or _call("compare", made),
    )
    from xenograft.reporting import page  # late, as a second of loading is not what a mistake in DATA should wait for

    if made.robustness:
        try:
            study = _with_robustness(study, made, watcher)
        except Exception:
            page.refresh(study)  # what was trained has its page, whatever becomes of the last step
            raise
    page.refresh(study)
    return study


def _with_robustness(study: Study, config: StudyConfig, watcher: Watcher | None) -> Study:
    """The study with its chosen run measured on changed test images; again only if another run is chosen."""
    from xenograft.study.alone import alone
    from xenograft.study.chosen import arms_of
    from xenograft.study.evidence import standing_for
    from xenograft.study.reading import read_data
    from xenograft.study.record import write_study
    from xenograft.study.robustness import measure_robustness
    from xenograft.study.run import open_pixels

    run = standing_for(arms_of(study.runs))[0]
    if (study.record.robustness or {}).get("run") == run.id:
        return study
    watcher = watcher or Silent()
    watcher.say(f"measuring {run.id} on changed test images")
    cache = cache_folder(config.cache_dir)
    with tempfile.TemporaryDirectory(prefix="xenograft-") as aside:
        # by the exported model: OpenVINO is quicker than torch, and is what will predict
        bundle, _ = export(study, run.id, Path(aside) / "bundle", config=config, watcher=watcher)
        pixels = open_pixels(config, cache)
        manifest = read_data(
            config, pixels, cache=cache, watcher=Silent(), preprocesses=[bundle.preprocess], quiet=True
        )
        place = {image: at for at, image in enumerate(manifest.column("id"))}
        test = manifest.take([place[image] for image in study.predictions(run.id, "test").ids.tolist()])
        found = measure_robustness(
            bundle.probabilities, test, pixels.of(bundle.preprocess),
            threshold=bundle.facts.threshold, resamples=config.resamples,
        )  # fmt: skip
    with alone(study.folder):  # minutes have passed: another process may have gone on with the study
        now = Study.load(study.folder)
        record = replace(now.record, robustness={"run": run.id, **found})
        write_study(study.folder, record)
    return replace(now, record=record)


@dataclass(frozen=True, slots=True)
class FitResult:
    """What `fit` made.

    Args:
        bundle: loaded and checked. study: its training record, in ``<bundle>-training``.
        drift: largest difference in probability between bundle and trained network on validation images, at f32.
    """

    bundle: Bundle
    study: Study
    drift: float


def fit(
    data: str | Path,
    *,
    output: str | Path = "bundle",
    backbone: str = "efficientnet_lite0",
    recipe: str = "probe",
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> FitResult:
    """Train one model and write it as a bundle that predicts without torch.

    Features are computed at f32 unless ``precision`` says otherwise, so that the evaluated scores are the bundle's.

    Args:
        data: as for `compare`. output: folder of the bundle.
        backbone, recipe: one name each; the backbone ``auto`` is chosen as by `rank`, on train and validation, of those
            that the recipe can train, with the ranking in ``<bundle>-ranking``; a recipe that starts from random
            weights refuses it. settings: as for `compare`.
    """
    from xenograft.study.run import plan, run_study

    if wrong := {"backbones", "recipes"} & settings.keys():
        raise UsageError(f"fit takes backbone and recipe, one each, not {', '.join(sorted(wrong))}", code="E-USAGE-14")
    values = {"precision": "f32", "seeds": 1} | {k: v for k, v in settings.items() if v is not None}
    folder = Path(output)
    check_output(folder, "a bundle", "bundle.json")
    # beside the bundle, not in it: the record holds patient keys and example images, and a bundle is handed on
    training = folder.with_name(f"{folder.name}-training")
    # whichever is chosen, the rest of the configuration is checked before anything is computed
    automatic, because = backbone == choosing.AUTO, ""
    made = _config(data, None, values | {"recipes": recipe} | ({} if automatic else {"backbones": backbone}))
    arms = list(plan(made))
    if len(arms) != 1:
        raise UsageError("fit trains one backbone by one recipe with one seed; use compare for more", code="E-USAGE-14")
    if automatic and not arms[0].recipe.pretrained:
        raise UsageError(
            f"backbone auto chooses by ImageNet features, which recipe {recipe} does not use; name a backbone",
            code="E-USAGE-14",
        )
    if automatic:
        name, because = choosing.choose_backbone(
            made, folder.with_name(f"{folder.name}-ranking"), cache=cache_folder(made.cache_dir),
            watcher=watcher or Silent(), command=command or _call("fit", made),
            again=(training / "study.json").is_file(),
        )  # fmt: skip
        made = replace(made, backbones=(name,))
        arms = list(plan(made))
    study = run_study(
        made, training, cache=cache_folder(made.cache_dir), watcher=watcher, command=command or _call("fit", made)
    )
    from xenograft.reporting import page

    page.refresh(study)
    made_bundle, drift = export(study, arms[0].id, folder, config=made, watcher=watcher, chosen_because=because)
    return FitResult(made_bundle, study, drift)


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What `audit` made.

    Args:
        audit: findings, worst first. page: to open in a browser. json: the same for programs.
        sensitive: list of what could identify people, or None where nothing was found; not to be passed on.
    """

    audit: Audit
    page: Path
    json: Path
    sensitive: Path | None


def audit(
    data: str | Path,
    *,
    output: str | Path = "audit",
    backbone: str | None = None,
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> AuditResult:
    """Look for what makes results on a data set wrong, before anything is trained; nothing is repaired.

    Args:
        data: as for `compare`. output: folder for ``index.html`` and ``audit.json``.
        backbone: look at its features too: likely label errors, outliers, shift. settings: fields of `StudyConfig` and
            `IngestOptions`.

    Raises:
        XenograftError: the data cannot be read as a labelled data set at all.
    """
    from xenograft.reporting import audit_page
    from xenograft.study.audited import audit_data

    folder = Path(output)
    check_output(folder, "an audit", "audit.json")
    made = _config(data, None, settings | {"backbones": backbone or "efficientnet_lite0", "recipes": "probe"})
    found, material = audit_data(
        made,
        cache=cache_folder(made.cache_dir),
        watcher=watcher or Silent(),
        with_features=backbone is not None,
        command=command or f"xenograft.audit({str(made.data)!r})",
    )
    sensitive = audits.write_sensitive(folder / "sensitive.csv", found.hidden)
    written = found.write(folder / "audit.json")
    page = audit_page.render(found, folder, root=material.manifest.root)
    return AuditResult(found, page, written, sensitive)


def export(
    study: Study,
    run_id: str,
    output: str | Path,
    *,
    config: StudyConfig | None = None,
    watcher: Watcher | None = None,
    chosen_because: str = "",
) -> tuple[Bundle, float]:
    """Write one finished run of a study as a bundle; returns it and its largest drift from the trained network.

    Args:
        chosen_because: why this backbone, for the bundle's record and card, where scores chose it.
    """
    from xenograft import exporting
    from xenograft.study.choices import choices_of_run
    from xenograft.study.restore import restore
    from xenograft.study.run import open_pixels
    from xenograft.study.runs import make_workshop, validation_sample

    config = config or make_config({k: v for k, v in study.record.config.items() if v is not None})
    run = next((run for run in study.runs if run.id == run_id), None)
    if run is None:
        raise UsageError(
            f"{printable(study.folder)} has no run {run_id!r}; it has {', '.join(r.id for r in study.runs)}",
            code="E-USAGE-15",
        )
    cache = cache_folder(config.cache_dir)
    workshop = make_workshop(config, open_pixels(config, cache), cache=cache, watcher=watcher or Silent())
    network = restore(study, run, workshop)
    sample, recorded = validation_sample(study, config, run, cache=cache)
    choices, measured = choices_of_run(study, run)
    bundle, drift = exporting.export(
        network, run, study.record, Path(output), sample=sample, choices=choices, measured=measured,
        chosen_because=chosen_because,
    )  # fmt: skip
    apart = exporting.largest_difference(bundle, sample, recorded)
    if apart > exporting.TOLERANCE and watcher is not None:
        message = (
            f"the scores in this bundle's card were computed at {run.engine['precision']} and differ from the bundle's "
            f"own, at f32, by up to {apart:.3f}; fit computes both at f32"
        )
        watcher.say(str(Notice("W-MODEL-22", message)))
    return bundle, drift


def load(folder: str | Path, *, precision: str = "f32") -> Bundle:
    """Open a bundle made by `fit`; see `Bundle.load`."""
    return Bundle.load(Path(folder), precision=precision)


def predict(
    bundle: str | Path | Bundle,
    images: str | Path | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    threshold_rule: str | None = None,
    refer: bool = False,
) -> list[Prediction]:
    """Predict files and folders with a bundle; writes a CSV where `output` is given.

    Args:
        threshold_rule: another of the bundle's operating points, see `Bundle.at`. refer: the CSV says ``refer`` where
            the prediction set is not exactly the answer.
    """
    opened = bundle if isinstance(bundle, Bundle) else load(bundle)
    if threshold_rule is not None:
        opened = opened.at(threshold_rule)
    places = [images] if isinstance(images, str | Path) else images
    answers = list(opened.predict(bundles.find_images([Path(place) for place in places])))
    if output is not None:
        bundles.write_predictions_csv(Path(output), opened, answers, refer=refer)
    return answers


def report(study: str | Path, *, output: str | Path | None = None) -> Path:
    """Render a study's page again; returns its path."""
    from xenograft.reporting import page

    return page.render(Study.load(Path(study)), out=None if output is None else Path(output))


def weights(
    backbones: str | None = None,
    *,
    weights_dir: str | Path | None = None,
    cache_dir: Path | None = None,
    verify: bool = False,
) -> list[weight_files.WeightsStatus]:
    """Which weights are at hand, and where missing ones belong; with `verify`, every file is hashed."""
    names = catalog.parse_backbones(backbones) if backbones else tuple(catalog.CATALOG)
    specs = [catalog.lookup(name) for name in names]
    if weights_dir is not None and not Path(weights_dir).is_dir():
        raise WeightsError(
            f"{printable(weights_dir)} is not a folder; name the folder of weight files", code="E-MODEL-20"
        )
    look = weight_files.verify if verify else weight_files.status
    return look(specs, weights_dir=None if weights_dir is None else Path(weights_dir), cache=cache_folder(cache_dir))


def check_table(
    table: str | Path | Sequence[Mapping[str, object]],
    *,
    positives: int,
    negatives: int,
    digits: int | Mapping[str, int] | None = None,
    ignore: Sequence[str] = (),
    within: Sequence[str] = (),
    level: float = 0.95,
    output: str | Path | None = None,
) -> TableCheck:
    """Find the confusion counts behind published rows, their intervals, and which differences exceed chance.

    Args:
        table: CSV with a header, or rows as mappings of column to text: names and metrics, in per cent or as fractions,
            with the digits that were printed.
        positives, negatives: images of each class in the test set of all rows.
        digits: decimals as printed, of every column or by metric (default: the most of any cell of a column).
        ignore: metrics that are not looked at, such as ``g_mean`` where it is not the usual one.
        within: compare only rows that are equal in these columns. level: of intervals. output: JSON of all of it.

    Raises:
        XenograftError: the table cannot be read, or class counts are out of range.

    Example:
        >>> row = {"accuracy": "93.1", "precision": "91.2", "recall": "98.5"}
        >>> check_table([row], positives=390, negatives=234).rows[0].recovery.counts.tolist()
        [[384, 37, 6, 197]]
    """
    from xenograft.reporting import checked_table, printed_table
    from xenograft.storage import write_json

    cells = printed_table.read_cells(Path(table)) if isinstance(table, str | Path) else table
    found = checked_table.check(
        printed_table.read_rows(cells, digits=digits, ignore=ignore),
        positives=positives,
        negatives=negatives,
        within=within,
        level=level,
    )
    if output is not None:
        write_json(Path(output), found.as_json())
    return found


def cache_info(cache_dir: Path | None = None) -> list[caching.Entry]:
    """What the cache holds, most recently used first."""
    return caching.inventory(cache_folder(cache_dir))


def cache_verify(cache_dir: Path | None = None) -> list[caching.Checked]:
    """Hash every shard of features and pixels; damaged ones are set aside and computed again when they are needed."""
    return caching.verify(cache_folder(cache_dir))


def cache_clear(cache_dir: Path | None = None, *, kinds: Sequence[str] | None = None) -> caching.Cleared:
    """Empty the cache.

    Args:
        kinds: of ``features``, ``pixels``, ``facts`` and ``weights``; by default all but weights, because the next run
            makes the others again by itself.
    """
    return caching.clear(cache_folder(cache_dir), caching.REMADE if kinds is None else kinds)


def _config(data: str | Path | None, config: str | Path | None, settings: dict[str, Any]) -> StudyConfig:
    values = read_toml(Path(config)) if config is not None else {}
    values |= {key: value for key, value in settings.items() if value is not None}
    if data is not None:
        values["data"] = data
    return make_config(values)


def _call(verb: str, config: StudyConfig) -> str:
    """The Python call that makes a study again, for records of programs."""
    values = {k: v for k, v in config.as_json().items() if v is not None and k not in INCIDENTAL}
    if verb == "fit":
        values |= {"backbone": values.pop("backbones")[0], "recipe": values.pop("recipes")[0]}
    arguments = ", ".join(f"{k}={v!r}" for k, v in values.items())
    # a page is passed on: where somebody keeps data and weights is nobody's business
    return f"xenograft.{verb}({config.data.name!r}, {arguments})"
