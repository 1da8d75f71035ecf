use super::*;

#[test]
fn words_are_counted_and_the_most_frequent_comes_first() {
    let parts = vec![mapper("The sea, the river."), mapper("A river")];
    let expected = [("river", 2), ("the", 2), ("a", 1), ("sea", 1)];
    assert_eq!(reducer(parts), expected.map(|(word, count)| (word.to_owned(), count)));
}
