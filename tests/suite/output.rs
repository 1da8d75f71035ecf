//! `--output`: a file that appears when it is complete, and what is there and no file.

use crate::support::{file, folder, run};

const TEXT: &str = "pear plum pear\n";
const COUNTS: &str = "pear\t2\nplum\t1\n";

#[test]
fn a_device_is_written_to_and_not_replaced() {
    run("wordcount")
        .typed("--output /dev/null")
        .stdin(TEXT)
        .end()
        .expect_code(0);
    let meta = std::fs::metadata("/dev/null").expect("there is such a device");
    assert!(!meta.is_file(), "the device was replaced by a file");
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_and_its_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let real = file(&dir, "real.tsv", "old");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).expect("set");
    let link = dir.path().join("link.tsv");
    std::os::unix::fs::symlink(&real, &link).expect("linked");
    run("wordcount")
        .arg("-o")
        .arg(&link)
        .stdin(TEXT)
        .end()
        .expect_code(0)
        .expect_empty_stdout();
    assert!(
        std::fs::symlink_metadata(&link)
            .expect("there")
            .is_symlink()
    );
    assert_eq!(std::fs::read_to_string(&real).expect("read"), COUNTS);
    let mode = std::fs::metadata(&real)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_failed_job_leaves_the_old_file_and_nothing_beside_it() {
    let dir = folder();
    let old = file(&dir, "out.txt", "old");
    run("panics").arg("-o").arg(&old).stdin(TEXT).fails(11);
    assert_eq!(std::fs::read_to_string(&old).expect("read"), "old");
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 1);
}
