//! `lode`: arguments and printing over the engine. Nothing is computed here.

mod commands;
mod output;
mod stores;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Object-augmented schemas: tables whose large values live in an object store.
#[derive(Parser, Debug)]
#[command(name = "lode", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Debug)]
struct Global {
    /// The database: an SQLite file, `postgresql://user@host/database` or `mysql://user@host`. Default: what the
    /// configuration says.
    #[arg(short, long, global = true, value_name = "URL")]
    database: Option<String>,
    /// Read this configuration file on top of what is found.
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show each setting and where it came from; secrets are masked.
    Config {
        /// Only these keys, or groups of keys.
        keys: Vec<String>,
        /// Only what differs from the defaults.
        #[arg(long)]
        changed: bool,
    },
    /// List schemas, or the tables of a schema, with rows and objects.
    Ls {
        /// Schema, or nothing for all of them.
        schema: Option<String>,
    },
    /// Find and remove objects that no row names.
    #[command(subcommand)]
    Gc(Gc),
    /// Look at the configured stores, and try them.
    #[command(subcommand)]
    Store(Store),
}

#[derive(Subcommand, Debug)]
enum Store {
    /// List the configured stores: where they are, and which is the default.
    List,
    /// Try everything that Lodestore asks of a store, and say what is wrong. Nothing is left behind.
    Test {
        /// Stores; default: all that are configured.
        stores: Vec<String>,
    },
    /// Show objects and bytes by schema and table. Each file of a folder counts as an object.
    Du {
        /// Store; default: the configured default store.
        store: Option<String>,
    },
}

#[derive(Subcommand, Debug)]
enum Gc {
    /// Report what could be removed. Changes nothing.
    Scan(GcArgs),
    /// Remove what a scan reports. Without `--delete` nothing is removed.
    Collect {
        #[command(flatten)]
        args: GcArgs,
        /// Really remove.
        #[arg(long)]
        delete: bool,
        /// Go on although more than half of the objects would be removed.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Args, Debug)]
struct GcArgs {
    /// Schemas whose objects are looked at.
    #[arg(required = true)]
    schemas: Vec<String>,
    /// Store; default: the configured default store.
    #[arg(long)]
    store: Option<String>,
    /// Name each object.
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Config { keys, changed } => commands::config(&cli.global, keys, *changed),
        Command::Ls { schema } => commands::ls(&cli.global, schema.as_deref()),
        Command::Gc(Gc::Scan(args)) => commands::collect(&cli.global, args, false, false),
        Command::Gc(Gc::Collect {
            args,
            delete,
            force,
        }) => commands::collect(&cli.global, args, *delete, *force),
        Command::Store(Store::List) => stores::list(&cli.global),
        Command::Store(Store::Test { stores }) => {
            return match stores::test(&cli.global, stores) {
                Ok((text, true)) => output::print(&text),
                Ok((text, false)) => {
                    output::print(&text);
                    ExitCode::FAILURE
                }
                Err(error) => refuse(&error),
            };
        }
        Command::Store(Store::Du { store }) => stores::du(&cli.global, store.as_deref()),
    };
    match result {
        Ok(text) => output::print(&text),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &lodestore::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
