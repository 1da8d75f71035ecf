//! The behaviors that hostile guests show, by number.

/// Number and behaviour.
pub(crate) const ROWS: &[(u8, &str)] = &[
    (1, "computes for ever"),
    (2, "computes for ever before its function is called"),
    (3, "computes for ever while it makes room or frees a result"),
    (4, "fills and copies its whole memory again and again"),
    (5, "sleeps for ever"),
    (6, "sleeps many times for next to nothing"),
    (7, "reads its stdin for ever"),
    (8, "takes memory without end"),
    (9, "begins with more memory than it may have"),
    (10, "spreads over many memories and tables"),
    (11, "grows a table, or begins with one that is too large"),
    (12, "uses 64-bit memories or the heap of collected objects"),
    (13, "recurses without end"),
    (14, "is called again by the host while it runs"),
    (15, "prints without end"),
    (
        16,
        "logs bytes that are not text, and commands to a terminal",
    ),
    (17, "returns a list that reaches out of its memory"),
    (18, "returns a list whose elements are all the same bytes"),
    (19, "returns pointers that are not aligned or wrap around"),
    (20, "returns text that is not UTF-8"),
    (
        21,
        "returns values of cases that do not exist, and deep ones",
    ),
    (
        22,
        "makes room at null, outside of its memory or over what lives",
    ),
    (
        23,
        "grows its memory or lies about sizes while it makes room",
    ),
    (24, "traps, in each of the ways"),
    (25, "is called again after it trapped"),
    (26, "ends the whole program well"),
    (27, "ends the whole program with an exit code"),
    (
        28,
        "has not the function it should have, or of another type",
    ),
    (29, "imports what there is not"),
    (30, "opens connections"),
    (31, "is not a module at all"),
    (32, "is a damaged module"),
    (33, "has very many or very large functions"),
    (34, "has types that grow without bound"),
    (35, "is compressed"),
    (36, "is larger than any module may be"),
    (37, "is a component of very many instances"),
    (38, "shares memory between threads"),
    (39, "waits for another thread for ever"),
    (40, "leaves its directory by its path"),
    (
        41,
        "leaves its directory by links, or writes where it may read",
    ),
    (42, "fills the disk"),
    (43, "opens files without end"),
    (44, "takes handles and never gives them back"),
    (
        45,
        "asks for gigabytes of random bytes, or reads clocks without end",
    ),
    (46, "looks for its surroundings"),
    (47, "calls the network"),
    (48, "leaves secrets behind for whoever comes next"),
    (
        49,
        "is async and waits for itself, or runs on after it has returned",
    ),
    (50, "begins calls without end that never end"),
    (51, "floods, hoards or misuses streams"),
];

/// Rows that tests of their own show, and where.
pub(crate) const ELSEWHERE: &[(u8, &str)] = &[];
