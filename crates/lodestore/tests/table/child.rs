//! Tests that need a process of their own: without privileges, or with a file system of its own.
//!
//! The child is this very test binary, running the one test that started it; it gets its directory by a variable.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const DIRECTORY: &str = "LODESTORE_TEST_CHILD";
/// `nobody`.
const PLAIN: u32 = 65534;

/// The child's directory; none in the parent.
fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(Into::into)
}

fn this_test(program: &Path, test: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    in_child(&mut command, dir).args(["--exact", test, "--nocapture"]);
    command
}

fn in_child<'a>(command: &'a mut Command, dir: &Path) -> &'a mut Command {
    command
        .env(DIRECTORY, dir)
        .env("HOME", dir)
        .env("TMPDIR", dir)
        .current_dir(dir)
}

fn expect_passed(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "in the child:\n{text}"
    );
}

/// Runs `body` with a fresh directory as a user who may not write everywhere.
pub fn as_plain_user(test: &str, body: impl FnOnce(&Path)) {
    if let Some(dir) = directory() {
        return body(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    if std::fs::metadata(dir.path()).unwrap().uid() != 0 {
        return body(dir.path());
    }
    // A copy, as the plain user may not reach the build directory.
    let program = dir.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    for path in [dir.path(), &program, &home] {
        std::os::unix::fs::chown(path, Some(PLAIN), Some(PLAIN)).unwrap();
    }
    let mut command = this_test(&program, test, &home);
    command.uid(PLAIN).gid(PLAIN);
    expect_passed(command);
}

/// Runs `body` in a directory on a file system of so many bytes. Where mounting is not permitted, says so and skips.
pub fn on_small_disk(test: &str, size: usize, body: impl FnOnce(&Path)) {
    if let Some(dir) = directory() {
        return body(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    // The mount lives in a name space of its own and goes with the child.
    let mount = format!("mount -t tmpfs -o size={size} tmpfs \"${DIRECTORY}\"");
    let unshare = |then: &str| {
        let mut command = Command::new("unshare");
        command.args([
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &format!("{mount} && {then}"),
            "sh",
        ]);
        in_child(&mut command, dir.path());
        command
    };
    let permitted = unshare("true").output().is_ok_and(|o| o.status.success());
    if !permitted {
        // Written directly, as the test harness hides what passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {test}: no small file system can be mounted here"
        );
        return;
    }
    let mut command = unshare("cd . && exec \"$@\"");
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"]);
    expect_passed(command);
}

/// Another process that waits at a given point; it ends with this value.
pub struct Helper(Child);

/// In the helper, runs `body`, keeps what it gives, and never returns. Nothing in the parent.
pub fn as_helper<T>(body: impl FnOnce(&Path) -> T) {
    if let Some(dir) = directory() {
        let _kept = body(&dir);
        println!("\nready");
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    }
}

impl Helper {
    /// Starts the helper of this test and waits until it is ready.
    pub fn start(test: &str, dir: &Path) -> Helper {
        let mut child = this_test(&std::env::current_exe().unwrap(), test, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line == "ready");
        assert!(ready, "the helper failed");
        Helper(child)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
