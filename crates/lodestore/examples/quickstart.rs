//! Lodestore from beginning to end, in Rust: the twin of `examples/grasshopper.py`, on made-up recordings.
//!
//! Run it with `cargo run -p lodestore --example quickstart`. The tables live in one SQLite file, the large values in a
//! directory beside it; both are in a temporary directory here.

use std::path::Path;

use lodestore::codec::{NpyRef, ObjectRef};
use lodestore::diagram::{Diagram, Style};
use lodestore::gc::{self, GcOptions};
use lodestore::progress::Silent;
use lodestore::query::keep;
use lodestore::table::{DeleteOptions, InsertOptions};
use lodestore::value::Array;
use lodestore::{Lode, Result, Row, row};
use ndarray::{Array1, s};
use serde::{Deserialize, Serialize};

const RATE: f64 = 10_000.0;

fn main() -> Result<()> {
    let directory = tempfile::tempdir().map_err(lodestore::Error::foreign)?;
    let directory = directory.path();

    // --- 1. The pipeline ---------------------------------------------------------------------------------------------
    // A definition names the attributes: the key above the line, the rest below it. A type in angle brackets is stored
    // by a codec; with an @ the value goes to the object store and the row keeps a reference to it.

    let lode = Lode::open(&format!("sqlite://{}", directory.join("lab.db").display()))?;
    lode.config().set(
        "download_path",
        directory.join("downloads").display().to_string().into(),
    )?;
    let lab = lode.schema("lab")?;

    let stimulus = lab.manual(
        "Stimulus",
        "# sounds played to the animal
         stimulus : int16
         ---
         source_file : <attach@>  # the file as it came, name and all",
    )?;
    let filter = lab.lookup(
        "Filter",
        "# what to compute
         filter : varchar(16)
         ---
         window_ms : float64",
        [
            row! { filter: "short", window_ms: 5.0 },
            row! { filter: "long", window_ms: 10.0 },
        ],
    )?;
    let waveform = lab.imported(
        "Waveform",
        "# the amplitude of the sound, read from its file
         -> Stimulus
         ---
         rate : float64           # samples per second
         amplitude : <npy@>       # an array, fetched lazily",
    )?;
    let recording = lab.manual(
        "Recording",
        "-> Stimulus
         ---
         spike_times : <blob@>    # seconds; content-addressed, so equal values are stored once",
    )?;
    let average = lab.computed(
        "TriggeredAverage",
        "# the sound that makes the neuron fire: the average of what came before each spike
         -> Recording
         -> Filter
         ---
         n_spikes : int32
         average : <npy@>",
    )?;
    let lag = average.part(
        "Lag",
        "# the average, sample by sample
         -> master
         lag : int32              # samples before the spike
         ---
         amplitude : float64",
    )?;
    let volume = lab.manual(
        "Volume",
        "# image stacks, a folder each
         volume : int16
         ---
         frames : <object@>",
    )?;

    println!(
        "{}",
        Diagram::of_schema(&lode, "lab")?.to_mermaid(&Style::default())
    );

    // --- 2. Insert ---------------------------------------------------------------------------------------------------

    for number in [1, 2] {
        let (file, spikes) = record(directory, number)?;
        // Both rows or none.
        lode.transaction(|| {
            stimulus.insert1(row! { stimulus: number, source_file: file })?;
            recording.insert1(row! { stimulus: number, spike_times: spikes })
        })?;
    }

    // A folder is written piece by piece, straight to its final place in the store. The row appears at the end, with
    // the size and the list of files; if anything fails, neither stays.
    let mut staged = volume.staged_insert(row! { volume: 1 })?;
    let frames = staged.object("frames", "")?;
    for number in 0..3u8 {
        frames.set(&format!("{number}.raw"), &[number; 4096])?;
    }
    staged.commit()?;

    // --- 3. Compute: each key once, each in a transaction of its own --------------------------------------------------

    waveform.populate(|key| {
        let file: String = (&stimulus & key).one("source_file")?; // writes the attachment to `download_path`
        let amplitude = read_waveform(Path::new(&file))?;
        waveform.insert1(row! { rate: RATE, amplitude: amplitude, ..key })
    })?;

    // Rows of a type of your own: the fields name the attributes.
    #[derive(Serialize)]
    struct Lag<'a> {
        #[serde(flatten)]
        key: &'a Row,
        lag: usize,
        amplitude: f64,
    }
    let report = average.populate(|key| {
        let window_ms: f64 = (&filter & key).one("window_ms")?;
        let spikes: Vec<f64> = (&recording & key).one("spike_times")?;
        let (rate, sound): (f64, NpyRef) = (&waveform & key).one(["rate", "amplitude"])?;
        let sound: Array1<f64> = sound.load()?.to_dim()?; // until here, nothing of the array was read
        let width = (window_ms * rate / 1000.0) as usize;
        let ends: Vec<usize> = spikes
            .iter()
            .map(|t| (t * rate) as usize)
            .filter(|&end| end >= width)
            .collect();
        let mut mean = Array1::<f64>::zeros(width);
        for &end in &ends {
            mean += &sound.slice(s![end - width..end]);
        }
        mean /= ends.len() as f64;
        average.insert1(row! { n_spikes: ends.len() as i64, average: mean.clone(), ..key })?;
        let lags = mean.iter().enumerate().map(|(i, &amplitude)| Lag {
            key,
            lag: width - i,
            amplitude,
        });
        lag.insert_typed(lags, &InsertOptions::default())
            .map(|_| ())
    })?;
    println!("{} averages computed", report.success_count);

    // --- 4. Fetch ----------------------------------------------------------------------------------------------------

    // The rows come as a type of your own, too.
    #[derive(Debug, Deserialize)]
    struct Average {
        filter: String,
        n_spikes: u32,
        average: NpyRef,
    }
    for row in (&average & "stimulus = 1")
        .rows::<Average>()
        .order_by("KEY")
        .stream()?
    {
        let row = row?;
        println!(
            "  {}: {} spikes, {:?} samples",
            row.filter,
            row.n_spikes,
            row.average.shape()
        );
    }

    let amplitude: NpyRef = (&waveform & row! { stimulus: 1 }).one("amplitude")?;
    let part: Array1<f64> = amplitude.read_rows(1000..1005)?.to_dim()?; // reads these five samples from the file
    println!(
        "samples 1000 to 1004: {part:.2}; loaded: {}",
        amplitude.is_loaded()
    );

    let frames: ObjectRef = (&volume & row! { volume: 1 }).one("frames")?;
    println!(
        "frames: {:?}; the last has {} bytes",
        frames.listdir("")?,
        frames.read_sub(Some("2.raw"))?.len()
    );

    // Queries are values; operators combine them.
    let strong = &(&stimulus * &average) & "n_spikes > 20" & &filter;
    let peaks = stimulus.aggr(&lag, keep(()).compute("peak", "max(amplitude)"))?;
    println!(
        "{} strong averages; peaks: {:.2?}",
        strong.count()?,
        peaks.rows::<(i16, f64)>().collect()?
    );

    // --- 5. Delete, and collect the garbage --------------------------------------------------------------------------

    let deleted = (&recording & row! { stimulus: 2 }).delete(DeleteOptions::default())?;
    println!("deleted, with everything computed from it:");
    for (table, rows) in deleted.counts {
        println!("  {table}: {rows} rows");
    }

    let plan = gc::scan(&lode, &["lab"], &GcOptions::default())?; // a plan to look at
    println!("{}", plan.stats().format());
    let stats = plan.execute(&Silent)?; // and to execute once
    println!(
        "{} objects deleted, {} bytes freed",
        stats.deleted(),
        stats.bytes_freed
    );

    // What is still named by a row is still there.
    let array: Array = (&recording & row! { stimulus: 1 }).one("spike_times")?;
    assert!(!array.is_empty());
    let rest = gc::scan(&lode, &["lab"], &GcOptions::default())?;
    assert!(rest.orphans().is_empty());
    Ok(())
}

/// Makes up a sound file, and spikes whenever the sound peaks.
fn record(directory: &Path, number: i64) -> Result<(std::path::PathBuf, Array1<f64>)> {
    let sound = Array1::from_shape_fn(20_000, |i| (i as f64 / RATE * 60.0 * number as f64).sin());
    let peaks =
        (1..sound.len() - 1).filter(|&i| sound[i] > sound[i - 1] && sound[i] >= sound[i + 1]);
    let spikes = peaks.map(|i| i as f64 / RATE).collect();
    let file = directory.join(format!("stimulus{number}.txt"));
    let lines: Vec<String> = sound.iter().map(f64::to_string).collect();
    std::fs::write(&file, lines.join("\n")).map_err(|e| lodestore::Error::io("write", &file, e))?;
    Ok((file, spikes))
}

fn read_waveform(file: &Path) -> Result<Array1<f64>> {
    let text = std::fs::read_to_string(file).map_err(|e| lodestore::Error::io("read", file, e))?;
    text.lines()
        .map(|line| line.parse().map_err(lodestore::Error::foreign))
        .collect()
}
