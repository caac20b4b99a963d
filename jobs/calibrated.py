"""The calibration maps that `truing label` fitted, for whoever uses the labeler afterwards."""

from collections.abc import Iterable

from jobs.context import Context
from jobs.store import read_json
from truing.errors import ConfigError
from truing.labeling.calibration import LogisticMap
from truing.labeling.templates import load_template
from truing.records import content_id


def map_key(context: Context, asking: str) -> str:
    """Identity of what a map was fitted to: the labeler, the templates, the way of asking."""
    templates = {domain: load_template(name).hash for domain, name in context.study.label.templates.items()}
    return content_id("map", context.labeler_id, templates, asking)


def fitted_maps(context: Context, askings: Iterable[str]) -> dict[str, LogisticMap]:
    """The map of each way of asking, by its name; none where the study does not calibrate.

    Raises:
        ConfigError: the study calibrates, and the run folder holds no map for this labeler asked in this way.
    """
    if context.study.label.calibration is None:
        return {}
    path = context.run.path / "trust.json"
    fitted = (read_json(path) or {"calibration": {}})["calibration"]
    maps: dict[str, LogisticMap] = {}
    for name in askings:
        if name not in fitted or fitted[name].get("key") != map_key(context, name):
            raise ConfigError(
                f"label.calibration: {path} holds no map for this labeler and these templates ({name}); run `truing label`"
                " with this configuration first, or set label.calibration=null to use the labeler as it is"
            )
        maps[name] = LogisticMap.from_dict(fitted[name]["map"])
    return maps
