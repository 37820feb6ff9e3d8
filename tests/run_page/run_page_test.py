"""The check of the page must see each way in which page and table can part."""
import unittest

from run_page import BLOCK, Entry, Wrong, exports, match, swapped

PAGE = """
```bash
export A=1    # a place
fathom train steps=5
```
text
```bash
fathom report RUN
```
"""


class Page(unittest.TestCase):
    blocks = BLOCK.findall(PAGE)

    def test_blocks_are_found_in_order_and_hand_on_their_exports(self):
        texts = match(self.blocks, [Entry("fathom report"), Entry("fathom train")])
        self.assertEqual([text.splitlines()[-1] for text in texts], ["fathom report RUN", "fathom train steps=5"])
        self.assertEqual(exports(texts), "export A=1    # a place\n")

    def test_a_block_without_entry_fails(self):
        with self.assertRaisesRegex(Wrong, "no entry in the table:\nfathom report RUN"):
            match(self.blocks, [Entry("fathom train")])

    def test_an_entry_without_its_one_block_fails(self):
        for words, fits in (("fathom decode", 0), ("fathom ", 2)):
            with self.assertRaisesRegex(Wrong, f"'{words}' fits {fits} blocks"):
                match(self.blocks, [Entry("fathom train"), Entry("fathom report"), Entry(words)])

    def test_a_replacement_of_what_the_page_does_not_have_fails(self):
        self.assertEqual(swapped("steps=5", {"steps=5": "steps=1"}), "steps=1")
        with self.assertRaisesRegex(Wrong, "'steps=6' is no longer on the page"):
            swapped("steps=5", {"steps=6": "steps=1"})


if __name__ == "__main__":
    unittest.main()
