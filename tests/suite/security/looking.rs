//! What a viewer sees by the commands that show something.

use super::{Site, refused, tool};
use serde_json::json;

#[test]
fn a_viewer_sees_jobs_and_not_what_came_of_them() {
    let site = Site::encrypted().set_up();
    let job = |role: &str, words: &str| {
        let job = tool("job").typed(words).arg("--cluster");
        site.with_key(job.arg(site.url("127.0.0.1")), role)
    };
    site.run("client").typed("--detach --job-id seen").output();
    let listed = |role: &str| {
        let printed = job(role, "list --format json").end().expect_code(0).json();
        let job = printed[0].clone();
        ["id", "state", "done"].map(|field| job[field].clone())
    };
    assert_eq!(listed("client"), [json!("seen"), json!("queued"), json!(0)]);
    assert_eq!(
        listed("viewer"),
        [json!("seen"), json!("queued"), json!(null)]
    );
    site.join("engine").end().expect_code(0);
    // Whoever sees it first notes that it is done: here that is who may not.
    assert_eq!(
        listed("viewer"),
        [json!("seen"), json!("done"), json!(null)]
    );
    let shown = job("viewer", "show seen").output();
    assert!(shown.contains("a viewer cannot see"), "{shown}");
    assert_eq!(listed("client"), [json!("seen"), json!("done"), json!(1)]);
    for words in ["result seen", "cancel seen", "retry seen", "rm seen"] {
        refused(
            job("viewer", words),
            13,
            &[
                "the server does not allow the viewer key to publish to",
                "client may",
            ],
        );
    }
    assert_eq!(job("client", "result seen").output(), "dog\t2\ncat\t1\n");
}
