"""Reads a folder of event files with TensorBoard's own package and prints what it sees as one JSON object.

scalars            tag -> [[step, value], ...] through EventAccumulator, the interface that scripts use
dashboard_scalars  the same through the accumulator and the plugin names that the web page uses
histograms         tag -> [[step, limits of the bars, heights], ...]
texts              tag -> [[step, text], ...]
first_wall_time    of the first event, seconds since 1970
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator
from tensorboard.util import tensor_util

folder = sys.argv[1]
plain = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0, "histograms": 0}).Reload()
page = PluginEventAccumulator(folder, size_guidance={"tensors": 0}).Reload()


def of_plugin(plugin, convert):
    tags = page.PluginTagToContent(plugin) if plugin in page.ActivePlugins() else []
    return {tag: [[e.step, convert(tensor_util.make_ndarray(e.tensor_proto))] for e in page.Tensors(tag)] for tag in tags}


json.dump(
    {
        "scalars": {tag: [[e.step, e.value] for e in plain.Scalars(tag)] for tag in plain.Tags()["scalars"]},
        "dashboard_scalars": of_plugin("scalars", lambda array: float(array)),
        "histograms": {
            tag: [[e.step, list(e.histogram_value.bucket_limit), list(e.histogram_value.bucket)] for e in plain.Histograms(tag)]
            for tag in plain.Tags()["histograms"]
        },
        "texts": of_plugin("text", lambda array: array.item().decode()),
        "first_wall_time": plain.FirstEventTimestamp(),
    },
    sys.stdout,
)
