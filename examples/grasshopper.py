"""Lodestore from beginning to end, on real recordings.

The recordings come with the PyPI package `nitime`: sounds played to a grasshopper, and the spikes of one of its
auditory receptor neurons (Rokem et al. 2006, J. Neurophysiol. 95); and two small fMRI volumes.

Run it with `make demo`, or `python examples/grasshopper.py [directory]`. It needs no server and no account: the tables
live in one SQLite file, the large values in a directory beside it.
"""

import gzip
import importlib.util
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import zarr

import lodestore as dj

matplotlib.use("Agg")  # draw to files
import matplotlib.pyplot as plt  # noqa: E402

# --- 1. Where the data live ------------------------------------------------------------------------------------------

directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="lodestore-demo-"))
directory.mkdir(parents=True, exist_ok=True)

# Tables in one file, objects in a directory beside it. With DJ_BACKEND=postgresql or mysql (and DJ_HOST, DJ_USER, …) the
# tables are on that server instead, and nothing else changes.
on_server = dj.config["database.backend"] != "sqlite"
if on_server:
    (directory / "objects").mkdir()
    dj.config.stores["local"] = {"protocol": "file", "location": str(directory / "objects")}
    dj.config.stores["default"] = "local"
else:
    dj.config["database.name"] = str(directory / "grasshopper.db")
dj.config["download_path"] = str(directory / "downloads")
dj.config["safemode"] = False  # do not ask before deleting: this is a demo

RECORDINGS = Path(importlib.util.find_spec("nitime").origin).parent / "data"


def say(title):
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}")


def on_disk():
    """What is in the object store right now."""
    store = Path(dj.config.get_store_spec()["location"])
    files = sorted(p for p in store.rglob("*") if p.is_file() and "_lode" not in p.relative_to(store).parts)
    for path in files[:6]:
        print(f"  {path.stat().st_size:>10,} B  {path.relative_to(store)}")
    total = sum(p.stat().st_size for p in files)
    print(f"  {total:>10,} B  in {len(files)} files" + (" (the first six are shown)" if len(files) > 6 else ""))


# --- 2. The pipeline -------------------------------------------------------------------------------------------------
# A class is a table. Its definition names the attributes: the key above the line, the rest below it. A type in angle
# brackets is stored by a codec; with an @ the value goes to the object store and the row keeps a reference to it.

say(f"Declaring the pipeline in {directory}")

# A server outlives the demo: there each run has a schema of its own.
schema = dj.Schema(directory.name.replace("-", "_") if on_server else "grasshopper")


@schema
class Neuron(dj.Manual):
    definition = """
    # auditory receptor neurons
    neuron : int16           # number of the recorded neuron
    ---
    species : varchar(64)
    """


@schema
class Stimulus(dj.Manual):
    definition = """
    # sounds played to the animal
    stimulus : int16
    ---
    source_file : <attach@>  # the file as it came, name and all
    """


@schema
class Filter(dj.Lookup):
    definition = """
    # what to compute
    filter : varchar(16)
    ---
    settings : <blob>        # any Python value; small, so it stays in the row
    """
    contents = [
        ("short", {"window_ms": 10, "bins": 100}),
        ("long", {"window_ms": 20, "bins": 200}),
    ]


@schema
class Waveform(dj.Imported):
    definition = """
    # the amplitude of the sound, read from its file
    -> Stimulus
    ---
    rate : float64           # samples per second
    amplitude : <npy@>       # a NumPy array, fetched lazily
    """

    def make(self, key):
        path = (Stimulus & key).fetch1("source_file")  # writes the attachment to `download_path`
        time_us, amplitude = np.loadtxt(path, unpack=True)
        rate = 1e6 / np.diff(time_us).mean()
        self.insert1({**key, "rate": rate, "amplitude": amplitude})


@schema
class Recording(dj.Manual):
    definition = """
    -> Neuron
    -> Stimulus
    ---
    spike_times : <blob@>    # seconds; content-addressed, so equal values are stored once
    header : <blob>          # what the recording software wrote at the top of the file
    """


@schema
class TriggeredAverage(dj.Computed):
    definition = """
    # the sound that makes the neuron fire: the average of what came before each spike
    -> Recording
    -> Waveform
    -> Filter
    ---
    n_spikes : int32
    average : <npy@>
    """

    class Lag(dj.Part):
        definition = """
        # the average, sample by sample, for those who want it in a table
        -> master
        lag_ms : decimal(6,2)
        ---
        amplitude : float32
        """

    def make(self, key):
        settings = (Filter & key).fetch1("settings")
        rate, sound = (Waveform & key).fetch1("rate", "amplitude")  # `sound` is a reference: nothing is read yet
        spikes = np.round((Recording & key).fetch1("spike_times") * rate).astype(int)
        width = int(settings["window_ms"] * rate / 1000)
        spikes = spikes[(spikes >= width) & (spikes < len(sound))]
        sound = sound.load()  # now the array is read
        average = np.mean([sound[s - width : s] for s in spikes], axis=0)
        self.insert1({**key, "n_spikes": len(spikes), "average": average})
        step = width // settings["bins"]
        lags = np.arange(-width, 0)[::step] / rate * 1000
        self.Lag.insert(
            {**key, "lag_ms": round(float(lag), 2), "amplitude": value}
            for lag, value in zip(lags, average[::step], strict=True)
        )


@schema
class Spectrum(dj.Computed):
    definition = """
    # power spectrum of a sound, by Welch's method
    -> Waveform
    ---
    frequency : <blob@>      # Hz; the same for all sounds, hence stored once
    power : <npy@>
    """

    def make(self, key):
        rate, sound = (Waveform & key).fetch1("rate", "amplitude")
        n = 8192
        window = np.hanning(n)
        power = np.zeros(n // 2 + 1)
        count = 0
        for start in range(0, len(sound) - n, n // 2):
            segment = sound[start : start + n]  # reads these samples only, straight from the file
            power += np.abs(np.fft.rfft(window * (segment - segment.mean()))) ** 2
            count += 1
        self.insert1({**key, "frequency": np.fft.rfftfreq(n, 1 / rate), "power": power / count})


@schema
class Volume(dj.Manual):
    definition = """
    # fMRI volumes, as Zarr arrays in the store
    volume : int16
    ---
    source_file : <attach@>
    n_frames : int32
    frames : <object@>
    """


# --- 3. Ingest -------------------------------------------------------------------------------------------------------

say("Ingesting the recordings")


def read_spikes(path):
    """Spike times in seconds, and the header as a dict."""
    lines = path.read_text().splitlines()
    header = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    times = [float(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]
    return np.array(times) / 1e6, header


Neuron.insert1({"neuron": 1, "species": "Locusta migratoria"})
for number in (1, 2):
    spike_times, header = read_spikes(RECORDINGS / f"grasshopper_spike_times{number}.txt")
    with dj.conn().transaction:  # both rows or none
        Stimulus.insert1({"stimulus": number, "source_file": RECORDINGS / f"grasshopper_stimulus{number}.txt"})
        Recording.insert1({"neuron": 1, "stimulus": number, "spike_times": spike_times, "header": header})


def read_nifti(path):
    """The voxels of a NIfTI-1 file: 348 bytes of header, then the data in Fortran order."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, "<i2", 8, offset=40)
    shape = tuple(int(n) for n in shape[1 : 1 + shape[0]])
    dtype = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8"}[int(np.frombuffer(raw, "<i2", 1, offset=70)[0])]
    offset = int(np.frombuffer(raw, "<f4", 1, offset=108)[0])
    return np.frombuffer(raw, dtype, int(np.prod(shape)), offset=offset).reshape(shape, order="F")


for number in (1, 2):
    path = RECORDINGS / f"fmri{number}.nii.gz"
    voxels = read_nifti(path)
    frames = np.ascontiguousarray(np.moveaxis(voxels.reshape(*voxels.shape[:3], -1), 3, 0))
    # The array is written frame by frame, straight to its final place in the store. The row appears at the end,
    # with the size and the list of files; if anything fails, neither stays.
    with Volume.staged_insert1 as staged:
        staged.rec["volume"] = number
        staged.rec["source_file"] = path
        target = zarr.open(
            staged.store("frames", ".zarr"),
            mode="w",
            shape=frames.shape,
            chunks=(1, *frames.shape[1:]),
            dtype=frames.dtype,
        )
        for i, frame in enumerate(frames):
            target[i] = frame
        staged.rec["n_frames"] = len(frames)

print(Recording())
print(Volume())

# --- 4. Compute ------------------------------------------------------------------------------------------------------

say("Computing: each key once, each in a transaction of its own")
for table in (Waveform, TriggeredAverage, Spectrum):
    table.populate(display_progress=True)
    print(f"  {table.__name__}: (remaining, total) = {table.progress()}")
print(TriggeredAverage())

say("What is on disk")
on_disk()

# --- 5. Fetch --------------------------------------------------------------------------------------------------------

say("Fetching lazily")
reference = (Waveform & "stimulus = 1").fetch1("amplitude")
print(f"  {reference!r}: known without reading it: {reference.nbytes:,} bytes")
print(f"  samples 1000 to 1004, read by range: {reference[1000:1005]}")
print(f"  still not loaded: is_loaded = {reference.is_loaded}")

frames = (Volume & {"volume": 1}).fetch1("frames")
volume = zarr.open(frames.fsmap, mode="r")
print(f"  {frames!r}\n  opened as {volume}; mean of its first frame {volume[0].mean():.1f}")

rates = (TriggeredAverage & "filter = 'short'").proj("n_spikes", strong="n_spikes > 900")
print(f"  {rates.to_dicts()}")
per_neuron = Neuron.aggr(TriggeredAverage.Lag, samples="count(*)", peak="max(amplitude)")
print(f"  {per_neuron.to_dicts()}")

# --- 6. Look ---------------------------------------------------------------------------------------------------------

say("Drawing")
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for row in TriggeredAverage & "filter = 'long'":
    average = row["average"].load()
    lag = np.arange(-len(average), 0) / (Waveform & row).fetch1("rate") * 1000
    left.plot(lag, average, label=f"stimulus {row['stimulus']} ({row['n_spikes']} spikes)")
left.set(xlabel="time before the spike (ms)", ylabel="amplitude", title="What makes the neuron fire")
left.legend(frameon=False)
for row in Spectrum():
    right.loglog(row["frequency"][1:], row["power"].load()[1:], label=f"stimulus {row['stimulus']}")
right.set(xlabel="frequency (Hz)", ylabel="power", title="Spectrum of the sound")
right.legend(frameon=False)
figure.savefig(directory / "grasshopper.png", dpi=120)
print(f"  {directory / 'grasshopper.png'}")

dj.Diagram(schema).save(directory / "pipeline.svg")
print(f"  {directory / 'pipeline.svg'}")

# --- 7. Delete and collect -------------------------------------------------------------------------------------------

say("Deleting a recording, with everything that was computed from it")
(Recording & {"stimulus": 2}).delete()
print(f"  left: {len(Recording())} recording, {len(TriggeredAverage())} averages, {len(TriggeredAverage.Lag())} lags")

say("Collecting the garbage: first look, then act")
print(dj.gc.format_stats(dj.gc.scan(schema)))
stats = dj.gc.collect(schema, dry_run=False)
print(f"  {stats['deleted']} objects, {stats['bytes_freed']:,} bytes freed, {stats['errors']} errors")
on_disk()

# What is still named by a row is still there.
assert (Recording & {"stimulus": 1}).fetch1("spike_times").size > 0
assert (Waveform & {"stimulus": 2}).fetch1("amplitude").load().size > 0
look = f"lode ls {schema.database}" if on_server else f"lode -d {directory / 'grasshopper.db'} ls"
say(f"Done. The objects are in {directory}; look at the tables with `{look}` (built by `make cli`).")
