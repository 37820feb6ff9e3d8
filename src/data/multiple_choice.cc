#include "data/multiple_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "base/error.h"
#include "base/json_text.h"
#include "data/csv.h"
#include "data/documents.h"
#include "data/line_files.h"
#include "storage/arrow_module.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr std::string_view kColumns[] = {"question", "subject", "choices", "answer"};
constexpr std::string_view kLetters = "ABCD";

bool is_folder(const std::string& path) { return file_store(path).kind(path) == PathKind::kFolder; }

// ---- one question ----

std::string text_of(const json& value, std::string_view column) {
  if (value.is_string()) return value.get<std::string>();
  throw std::invalid_argument(fmt::format("{} is a JSON {}, and must be a text", column, value.type_name()));
}

int64_t answer_of_letter(std::string_view letter) {
  const size_t found = letter.size() == 1 ? kLetters.find(letter[0]) : std::string_view::npos;
  if (found == std::string_view::npos) throw std::invalid_argument("answer is no letter from A to D");
  return static_cast<int64_t>(found);
}

int64_t answer_of(const json& value) {
  if (value.is_string()) return answer_of_letter(value.get_ref<const std::string&>());
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= uint64_t{kChoices}) {
    throw std::invalid_argument(
        fmt::format("answer is {}, and must be 0 to {} or a letter", value.dump(), kChoices - 1));
  }
  return value.get<int64_t>();
}

ChoiceQuestion question_of(const json& record) {
  if (!record.is_object()) throw std::invalid_argument("a question is an object");
  for (const std::string_view column : kColumns) {
    if (!record.contains(column)) throw std::invalid_argument(fmt::format("there is no {}", column));
  }
  ChoiceQuestion out{.subject = text_of(record["subject"], "subject"),
                     .question = text_of(record["question"], "question"),
                     .choices = {},
                     .answer = answer_of(record["answer"])};
  const json& choices = record["choices"];
  if (!choices.is_array() || choices.size() != size_t{kChoices}) {
    throw std::invalid_argument(fmt::format("choices is no list of {} texts", kChoices));
  }
  for (size_t i = 0; i < choices.size(); ++i) out.choices[i] = text_of(choices[i], "a choice");
  return out;
}

// The question that `make` gives; what it finds wrong is an error at this place of the file.
template <class Make>
ChoiceQuestion question_at(const std::string& path, const std::string& place, const Make& make) {
  try {
    return make();
  } catch (const json::exception& e) {
    throw FormatError(path, fmt::format("{}: {}", place, json_line_mistake(e)));
  } catch (const std::invalid_argument& e) {
    throw FormatError(path, fmt::format("{}: {}", place, e.what()));
  }
}

// ---- files ----

void read_parquet(const std::string& path, std::vector<ChoiceQuestion>& to) {
  std::vector<std::unique_ptr<ParquetFile>> columns;
  for (const std::string_view name : kColumns) {
    columns.push_back(std::make_unique<ParquetFile>(path, std::string(name), ColumnKind::kJson));
  }
  int64_t row = 0;
  for (size_t group = 0; group < columns[0]->row_groups().size(); ++group) {
    std::vector<TextColumn> values;
    for (const auto& column : columns) values.push_back(column->read(static_cast<int64_t>(group)));
    for (int64_t i = 0; i < values[0].rows(); ++i, ++row) {
      to.push_back(question_at(path, fmt::format("row {}", row), [&] {
        json record;
        for (size_t c = 0; c < values.size(); ++c) {
          if (!values[c].is_null(i)) record[kColumns[c]] = json::parse(values[c][i]);
        }
        return question_of(record);
      }));
    }
  }
}

void read_jsonl(const std::string& path, std::vector<ChoiceQuestion>& to) {
  LineFiles files({path});
  int64_t number = 0;
  std::vector<int64_t> numbers;
  files.for_each_line(0, [&](const TextLine& line) {
    ++number;
    if (line.blank) return;
    files.add(0, line.begin, line.end - line.begin);
    numbers.push_back(number);
  });
  for (int64_t i = 0; i < files.size(); ++i) {
    to.push_back(question_at(path, fmt::format("line {}", numbers[static_cast<size_t>(i)]), [&] {
      const std::string_view text = files.text(i);
      if (const auto refusal = json_refusal(text)) throw std::invalid_argument(refusal->text);
      return question_of(json::parse(text));
    }));
  }
}

void read_csv(const std::string& path, const std::string& subject, std::vector<ChoiceQuestion>& to) {
  for_each_csv_record(path, file_store(path).read(path), [&](int64_t line, const std::vector<std::string>& fields) {
    to.push_back(question_at(path, fmt::format("line {}", line), [&] {
      if (fields.size() != size_t{kChoices} + 2) {
        throw std::invalid_argument(
            fmt::format("{} fields where a question has {}: itself, the choices, the letter of the right one",
                        fields.size(), kChoices + 2));
      }
      ChoiceQuestion out{.subject = subject, .question = fields[0], .choices = {}, .answer = 0};
      std::copy_n(fields.begin() + 1, kChoices, out.choices.begin());
      out.answer = answer_of_letter(fields.back());
      return out;
    }));
  });
}

void read_files(const DatasetFiles& files, std::string_view key, std::vector<ChoiceQuestion>& to) {
  for (const std::string& path : files.paths) {
    if (files.kind == DatasetKind::kParquet) {
      read_parquet(path, to);
    } else if (files.kind == DatasetKind::kJsonl) {
      read_jsonl(path, to);
    } else {
      throw ConfigError(
          fmt::format("{}: {}: questions are read from parquet, JSONL, or a tree of CSV files", key, path));
    }
  }
}

// ---- folders ----

// SUBJECT of each "SUBJECT_<split>.csv" in a folder of that name.
std::vector<std::string> csv_subjects(const std::string& folder, const std::string& split) {
  const std::string of_split = join_path(folder, split), ending = fmt::format("_{}.csv", split);
  std::vector<std::string> out;
  if (!is_folder(of_split)) return out;
  for (const FolderEntry& entry : file_store(of_split).list(of_split)) {
    if (entry.is_folder || !entry.name.ends_with(ending) || entry.name.starts_with('.')) continue;
    out.push_back(entry.name.substr(0, entry.name.size() - ending.size()));
  }
  return out;
}

void read_csv_split(const std::string& folder, const std::string& split, std::vector<ChoiceQuestion>& to) {
  for (const std::string& subject : csv_subjects(folder, split)) {
    read_csv(join_path(join_path(folder, split), fmt::format("{}_{}.csv", subject, split)), subject, to);
  }
}

void read_split(const std::string& folder, const std::string& split, std::string_view key,
                std::vector<ChoiceQuestion>& to) {
  if (has_split(folder, split)) read_files(find_dataset(folder, key, {.split = split}), key, to);
}

// The folders with a split `test` of their own: `folder`, or its `all`, or those of its subjects.
std::vector<std::string> folders_with_test(const std::string& folder) {
  constexpr const char* kTest = "test";
  for (const std::string& one : {folder, join_path(folder, "all")}) {
    if (is_folder(one) && has_split(one, kTest)) return {one};
  }
  std::vector<std::string> out;
  for (const FolderEntry& entry : file_store(folder).list(folder)) {
    const std::string one = join_path(folder, entry.name);
    if (entry.is_folder && !entry.name.starts_with('.') && has_split(one, kTest)) out.push_back(one);
  }
  return out;
}

// A file named mmlu, which may lie beside others, else `folder`, all of whose files are questions.
std::string unsplit_questions(const std::string& folder) {
  for (const char* name : {"mmlu.parquet", "mmlu.jsonl"}) {
    const std::string path = join_path(folder, name);
    if (file_store(path).kind(path) == PathKind::kFile) return path;
  }
  return folder;
}

}  // namespace

ChoiceQuestions read_choice_questions(const std::string& path, std::string_view key) {
  ChoiceQuestions out;
  if (is_folder(path)) {
    for (const std::string& tree : {path, join_path(path, "data")}) {
      if (csv_subjects(tree, "test").empty()) continue;
      read_csv_split(tree, "test", out.test);
      read_csv_split(tree, "dev", out.dev);
      return out;
    }
    for (const std::string& folder : folders_with_test(path)) {
      read_split(folder, "test", key, out.test);
      read_split(folder, "dev", key, out.dev);
    }
    if (!out.test.empty()) return out;
  }
  read_files(find_dataset(is_folder(path) ? unsplit_questions(path) : path, key), key, out.test);
  if (out.test.empty()) throw ConfigError(fmt::format("{}={}: there are no questions", key, path));
  return out;
}

}  // namespace fathom
