//! The word count, the model case: equal to the serial one, whatever the engines, the view, the chunks and the inputs.

use crate::support::{Cli, Text, corpus, file, folder, run, word_count};
use std::fs;

/// Every way to cut and place the same job.
const WAYS: [&str; 14] = [
    "--engines 1",
    "--engines 2",
    "--engines 3",
    "--engines 8",
    "--engines 2 --view direct",
    "--engines 3 --view direct --targets 0,2",
    "--engines 8 --view direct --targets 1..3",
    "--engines 2 --chunk 1KiB",
    "--engines 2 --chunk lines:1000",
    "--engines 3 --chunk file",
    "--engines 2 --chunk 1KiB --view direct",
    "--engines 2 --chunk lines:7 --reuse dispatch",
    "--engines 2 --reuse engine",
    "",
];

fn wordcount(options: &str) -> Cli {
    run("wordcount").typed(options)
}

#[test]
fn a_book_counts_the_same_in_every_way() {
    let dir = folder();
    let text = Text::of(1, 700_000).make();
    let expected = word_count(&[&text]);
    let book = file(&dir, "book.txt", &text);
    for way in WAYS {
        wordcount(way)
            .arg(&book)
            .end()
            .expect_code(0)
            .expect_stdout(&expected)
            .expect_stderr_is_empty();
        wordcount(way)
            .stdin(text.clone())
            .end()
            .expect_code(0)
            .expect_stdout(&expected);
    }
}

#[test]
fn several_files_count_as_one() {
    let dir = folder();
    let texts = [5, 6, 7].map(|seed| Text::of(seed, 150_000).make());
    let expected = word_count(&[&texts[0], &texts[1], &texts[2]]);
    for way in WAYS {
        let files = [0, 1, 2].map(|number| file(&dir, &format!("{number}.txt"), &texts[number]));
        wordcount(way)
            .args(&files)
            .end()
            .expect_code(0)
            .expect_stdout(&expected);
        wordcount(way)
            .arg(&files[0])
            .arg("-")
            .arg(&files[2])
            .stdin(texts[1].clone())
            .end()
            .expect_code(0)
            .expect_stdout(&expected);
    }
}

#[test]
fn odd_texts_count_right() {
    let dir = folder();
    let plain = Text::of(11, 200_000);
    let texts = [
        String::new(),
        "\n".to_owned(),
        " \t\r\n\n".to_owned(),
        "word".to_owned(),
        "the of and".to_owned(),
        "\u{feff}Word word".to_owned(),
        "e\u{301}te 1984 b4 __ _ x\u{1}y a\0b".to_owned(),
        "ΟΔΥΣΣΕΥΣ\u{2028}İ ǅ".replace('İ', "J"),
        Text {
            line_end: "\r\n",
            ..plain
        }
        .make(),
        Text {
            ends_with_newline: false,
            ..plain
        }
        .make(),
        // One line, longer than any first chunk.
        Text {
            line: usize::MAX,
            ends_with_newline: false,
            ..plain
        }
        .make(),
        Text {
            line: 100_000,
            ..plain
        }
        .make(),
    ];
    for text in texts {
        let expected = word_count(&[&text]);
        let book = file(&dir, "odd.txt", &text);
        for options in [
            "",
            "--chunk 1KiB",
            "--chunk lines:1",
            "--chunk file",
            "--view direct",
        ] {
            let ended = wordcount(options).arg(&book).end();
            ended.expect_code(0).expect_stdout(&expected);
        }
        wordcount("")
            .stdin(text.clone())
            .end()
            .expect_stdout(&expected);
    }
}

#[test]
fn an_empty_input_has_no_words() {
    let dir = folder();
    let empty = file(&dir, "empty.txt", "");
    assert_eq!(wordcount("").arg(&empty).output(), "");
    assert_eq!(wordcount("").output(), "", "stdin is empty");
    assert_eq!(wordcount("--format json").arg(&empty).output(), "[]\n");
    let word = file(&dir, "word.txt", "word");
    assert_eq!(
        wordcount("").args([&empty, &word, &empty]).output(),
        "word\t1\n"
    );
    assert_eq!(wordcount("--merge count").arg(&empty).output(), "1\n");
}

#[test]
fn chunks_that_cut_words_still_make_up_the_whole_of_a_text_of_lines() {
    // With one word on each line of four bytes, borders at multiples of four are line ends.
    let text = "abc\nxyz\nabc\n".repeat(3000);
    let expected = word_count(&[&text]);
    wordcount("--chunk exact:4KiB")
        .stdin(text)
        .end()
        .expect_code(0)
        .expect_stdout(expected);
}

#[test]
fn json_holds_the_same_data() {
    let text = Text::of(3, 100_000).make();
    let tsv = wordcount("").stdin(text.clone()).output();
    let json = wordcount("--format json")
        .stdin(text)
        .end()
        .expect_code(0)
        .json();
    let pairs = json.as_array().expect("it is a list");
    let lines: Vec<String> = pairs
        .iter()
        .map(|pair| format!("{}\t{}\n", pair[0].as_str().expect("a word"), pair[1]))
        .collect();
    assert_eq!(lines.concat(), tsv);
}

#[test]
fn the_books_of_the_corpus_count_as_their_tables_say() {
    let Some(corpus) = corpus() else { return };
    let book = |name: &str| corpus.join(format!("{name}.txt"));
    let table = |name: &str| fs::read(corpus.join(format!("{name}.counts.tsv"))).expect("a table");
    for name in ["davinci", "war-and-peace"] {
        wordcount("")
            .arg(book(name))
            .end()
            .expect_code(0)
            .expect_stdout(table(name));
    }
    for way in WAYS {
        wordcount(way)
            .arg(book("davinci"))
            .arg(book("war-and-peace"))
            .end()
            .expect_code(0)
            .expect_stdout(table("both"));
        let stdin = fs::read(book("davinci")).expect("a book");
        wordcount(way)
            .arg("-")
            .arg(book("war-and-peace"))
            .stdin(stdin)
            .end()
            .expect_code(0)
            .expect_stdout(table("both"));
    }
}
