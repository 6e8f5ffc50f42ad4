//! A tree as people read it. Pure.

use super::print::plain;

/// A line, and what belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    text: String,
    below: Vec<Self>,
}

impl Node {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), below: Vec::new() }
    }

    /// The same, with more below it.
    pub(super) fn with(mut self, below: impl IntoIterator<Item = Self>) -> Self {
        self.below.extend(below);
        self
    }

    /// Every line, the root first.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        self.lines(&mut text, "", "");
        text
    }

    fn lines(&self, into: &mut String, first: &str, rest: &str) {
        into.extend([first, &plain(&self.text), "\n"]);
        for (at, node) in self.below.iter().enumerate() {
            let last = at + 1 == self.below.len();
            let (branch, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            node.lines(into, &format!("{rest}{branch}"), &format!("{rest}{trunk}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_show_what_belongs_to_what_and_text_of_others_ends_no_line() {
        let tree = Node::new("root").with([
            Node::new("a").with([Node::new("a1\nx"), Node::new("a2")]),
            Node::new("b").with([Node::new("b1")]),
        ]);
        assert_eq!(tree.render(), "root\n├─ a\n│  ├─ a1\u{fffd}x\n│  └─ a2\n└─ b\n   └─ b1\n");
    }
}
