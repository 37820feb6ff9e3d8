"""The checks of layers and pages must see each kind of breach: they are run on trees that have one, and on others."""
import pathlib
import tempfile
import unittest

import layering
import pages

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "ARCHITECTURE.md").read_text()


def check(page=PAGE, **files):
    """The breaches of a tree whose files are named with `__` for `/` and end in .cc, or .h after a trailing `_h`."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "ARCHITECTURE.md").write_text(page)
        for name, text in files.items():
            name = name[:-2] + ".h" if name.endswith("_h") else name + ".cc"
            path = root / "src" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return layering.breaches(root)


class Includes(unittest.TestCase):
    def assert_breach(self, found, *words):
        self.assertEqual(len(found), 1, found)
        for word in words:
            self.assertIn(word, found[0])

    def test_what_the_table_allows_passes(self):
        self.assertEqual(check(
            graph__ops__dot='#include "base/shape.h"\n#include "graph/ops.h"\n#include <vector>\n',
            nn__linear='#include "base/shape.h"\n#include "graph/graph.h"\n',
            fused__moe='#include "kernels/abi.h"\n',
            drive__loop='#include "kernels/abi.h"\n#include "model/params.h"\n',
            cli__train='#include "eval/verify.h"\n',
            kernels__ffi__handlers='#include "xla/ffi/api/ffi.h"\n#include "kernels/cpu/matmul.h"\n',
            runtime__client='#include <pjrt_c_api.h>\n',
            base__log='#include <spdlog/spdlog.h>\n'), [])

    def test_an_upward_include_names_the_line(self):
        self.assert_breach(check(graph__a='\n#include "runtime/client.h"\n'), "src/graph/a.cc:2:", "runtime/client.h")

    def test_staged_code_sees_no_device_and_no_file(self):
        for staged in ("graph", "graph__grad", "graph__emit", "fused", "nn", "model", "train", "program"):
            for host in ("runtime/client.h", "checkpoint/safetensors.h", "data/source.h"):
                self.assert_breach(check(**{staged + "__a": f'#include "{host}"\n'}), host)
            self.assert_breach(check(**{staged + "__a": '#include "pjrt_c_api.h"\n'}), "pjrt_c_api.h")

    def test_runtime_sees_no_graph(self):
        self.assert_breach(check(runtime__a='#include "graph/graph.h"\n'), "graph/graph.h")

    def test_one_header_is_not_its_folder(self):
        self.assert_breach(check(fused__a='#include "kernels/cpu/matmul.h"\n'), "kernels/cpu/matmul.h")
        self.assert_breach(check(convert__a='#include "model/decoder.h"\n'), "model/decoder.h")

    def test_a_subfolder_with_a_row_is_closed_to_the_folder_above(self):
        self.assert_breach(check(graph__a='#include "graph/grad/sweep.h"\n'), "graph/grad/sweep.h")

    def test_only_kernels_ffi_sees_xla(self):
        for folder in ("kernels__cpu", "runtime", "cli"):
            self.assert_breach(check(**{folder + "__a": '#include <xla/ffi/api/ffi.h>\n'}), "xla/ffi/api/ffi.h")

    def test_a_test_may_include_what_it_needs(self):
        self.assertEqual(check(runtime__a_test='#include "graph/graph.h"\n#include "xla/ffi/api/ffi.h"\n'), [])

    def test_a_header_for_tests_stays_in_tests(self):
        self.assertEqual(check(base__a_testing_h='#include <nlohmann/json.hpp>\n', base__a_test='#include "base/a_testing.h"\n'), [])
        self.assert_breach(check(base__a='#include "base/a_testing.h"\n'), "for tests alone")

    def test_heavy_headers_stay_out_of_headers(self):
        self.assert_breach(check(config__a_h='#include <nlohmann/json.hpp>\n'), "heavy")
        self.assertEqual(check(config__a_h='#include <nlohmann/json_fwd.hpp>\n'), [])

    def test_includes_are_spelled_from_src(self):
        self.assert_breach(check(graph__a='#include "graph.h"\n'), "graph.h")


class Files(unittest.TestCase):
    def test_length(self):
        self.assertEqual(check(base__a="\n" * 600), [])
        self.assertEqual(len(check(base__a="\n" * 601)), 1)

    def test_leftovers(self):
        self.assertEqual(len(check(base__a="// TO" + "DO: later\n")), 1)

    def test_a_folder_without_a_row(self):
        self.assertEqual(len(check(extras__a="")), 1)


class Tables(unittest.TestCase):
    def test_a_table_that_is_gone_or_names_no_folder_is_an_error(self):
        for page in ("no table", PAGE.replace("| nn, config, ", "| nn, konfig, "), PAGE.replace("| foreign headers |", "| headers |")):
            with self.assertRaises(layering.TableError):
                check(page=page)


def page_breaches(text):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "other.md").write_text("# Other\n\n## What: it `is`, in short\n")
        (root / "page.md").write_text(text)
        return list(pages.breaches(root))


class Pages(unittest.TestCase):
    def test_links_to_files_and_headings_that_are_there_pass(self):
        links = "[x](other.md) [x](other.md#what-it-is-in-short) [x](#a-b) [x](https://x/y#z)"
        self.assertEqual(page_breaches(f"# A b\n{links}\n"), [])

    def test_a_link_to_nowhere_and_a_long_line_name_the_line(self):
        for text, what in (("\n[x](gone.md)\n", "page.md:2: gone.md is"), ("[x](other.md#is)\n", "page.md:1: other.md#is is"),
                           ("[x](#gone)\n", "page.md:1: #gone is"), ("x" * 121 + "\n", "page.md:1: 121 columns")):
            found = page_breaches(text)
            self.assertEqual(len(found), 1, found)
            self.assertIn(what, found[0])

    def test_architecture_names_sources_that_are_there_and_counts_the_lines_of_its_reading_order(self):
        def found(text):
            with tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder)
                (root / "src/base").mkdir(parents=True)
                (root / "src/base/a.cc").write_text("\n" * 1100)
                (root / "ARCHITECTURE.md").write_text(text)
                return list(pages.architecture_breaches(root))

        order = "Reading order (%s lines): `src/base/a.cc`.\n\n"
        self.assertEqual(found(order % "1,100" + "`base/a.cc`, `arrow/a.h`\n"), [])
        for text, what in ((order % "1,099", "1100 lines, not 1099"), (order % "1,100" + "`base/b.h`\n", "base/b.h is not"),
                           ("no order\n", "Reading order")):
            self.assertEqual(len(found(text)), 1, found(text))
            self.assertIn(what, found(text)[0])


if __name__ == "__main__":
    unittest.main()
