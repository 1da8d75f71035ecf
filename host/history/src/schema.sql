-- The history of jobs and tasks, version 1. A change of anything here is a new version.
-- Times are nanoseconds since 1970, durations nanoseconds; unsigned numbers keep their 64 bits.
CREATE TABLE job (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,          -- the live file of the process that runs it
    label TEXT,
    function TEXT NOT NULL,
    module_path ANY,              -- text, or bytes where a path is not UTF-8
    module_hash TEXT NOT NULL,
    module_name TEXT NOT NULL,
    repeats INTEGER,
    options TEXT NOT NULL,        -- JSON
    inputs TEXT NOT NULL,         -- JSON
    submitted INTEGER NOT NULL,
    ended INTEGER,
    stats TEXT,                   -- JSON
    message TEXT,
    result_types TEXT,            -- JSON, see types.rs
    result BLOB,
    result_bytes INTEGER,
    result_left_out TEXT,         -- why a result is not kept
    tasks INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX job_running ON job (owner) WHERE state = 'running';
CREATE TABLE value_types (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    types TEXT NOT NULL           -- JSON, see types.rs
) STRICT;
CREATE INDEX value_types_job ON value_types (job);
CREATE TABLE task (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    code TEXT,
    engine INTEGER,
    queued INTEGER,
    started INTEGER,
    finished INTEGER,
    run_time INTEGER NOT NULL,
    peak_memory INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    fuel INTEGER,
    attempts TEXT NOT NULL,       -- JSON
    input_types INTEGER,          -- of value_types, where the arguments are stored
    input_path ANY,               -- where it is a range of a file
    input_start INTEGER,
    input_end INTEGER,
    input_sha256 TEXT,
    input_elsewhere TEXT,         -- why it cannot be had again
    result_types INTEGER,         -- of value_types
    result_bytes INTEGER,
    result_left_out TEXT,
    message TEXT,
    backtrace TEXT,
    stderr BLOB NOT NULL,
    input BLOB,
    result BLOB
) STRICT;
CREATE UNIQUE INDEX task_of_job ON task (job, position);
-- How many rows count against the bound: one per task, and one per job.
CREATE TABLE total (tasks INTEGER NOT NULL, jobs INTEGER NOT NULL) STRICT;
INSERT INTO total VALUES (0, 0);
CREATE TRIGGER job_added AFTER INSERT ON job BEGIN UPDATE total SET jobs = jobs + 1; END;
CREATE TRIGGER job_gone AFTER DELETE ON job BEGIN UPDATE total SET jobs = jobs - 1; END;
CREATE TRIGGER task_added AFTER INSERT ON task BEGIN UPDATE total SET tasks = tasks + 1; END;
CREATE TRIGGER task_gone AFTER DELETE ON task BEGIN UPDATE total SET tasks = tasks - 1; END;
