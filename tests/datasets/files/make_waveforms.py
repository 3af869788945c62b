"""Write a small folder of waveforms as SpikeInterface did before there were analyzers, in an environment of its own:

    uv venv -p 3.11 /tmp/si && uv pip install --python /tmp/si/bin/python spikeinterface==0.100.8 "numpy<2" "zarr<3" \
        "numcodecs<0.16"
    /tmp/si/bin/python make_waveforms.py /tmp/old
    /tmp/NEW/bin/python scripts/export_units.py /tmp/old/waveforms /tmp/old/exported.npz   # with 0.101 or later
    cd /tmp/old && zip -r waveforms_0.100.8.zip waveforms exported.npz

``waveforms/templates_average.npy`` (unit, time, channel), in uV, is what that release itself computes.
"""

import sys
from pathlib import Path

import spikeinterface as si
import spikeinterface.core as core

out = Path(sys.argv[1])
recording, sorting = core.generate_ground_truth_recording(
    durations=[3.0], num_channels=3, num_units=3, sampling_frequency=24000.0, seed=0
)
recording.annotate(is_filtered=True)
extractor = si.extract_waveforms(
    recording.save(folder=out / "recording"),
    sorting.save(folder=out / "sorting"),
    folder=out / "waveforms",
    max_spikes_per_unit=5,
    ms_before=0.5,
    ms_after=1.0,
    sparse=False,
)
extractor.get_all_templates()
