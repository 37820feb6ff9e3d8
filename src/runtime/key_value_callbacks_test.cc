// The callbacks as plugins call them.
#include "runtime/key_value_callbacks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>

#include "runtime/key_values.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A job of one process.
class LocalValues : public KeyValues {
 public:
  void put(const std::string& key, const std::string& value) override { values_[key] = value; }
  std::string get(const std::string& key, std::chrono::milliseconds timeout) override {
    if (std::optional<std::string> value = try_get(key)) return *value;
    throw PjrtError(PjrtCode::kDeadlineExceeded, "LocalValues::get", fmt::format("{} in {} ms", key, timeout.count()));
  }
  std::optional<std::string> try_get(const std::string& key) override {
    auto found = values_.find(key);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::map<std::string, std::string> values_;
};

struct PluginError {
  PJRT_Error_Code code;
  std::string text;
};

// The plugin's own maker of errors.
PJRT_Error* make_error(PJRT_Error_Code code, const char* message, size_t size) {
  return reinterpret_cast<PJRT_Error*>(new PluginError{code, std::string(message, size)});
}

PluginError taken(PJRT_Error* error) {
  std::unique_ptr<PluginError> owned(reinterpret_cast<PluginError*>(error));
  return owned ? *owned : PluginError{PJRT_Error_Code_OK, ""};
}

TEST(KeyValueCallbacks, CarryValuesAndErrorsAcrossTheBorder) {
  auto values = std::make_shared<LocalValues>();
  KeyValueCallbacks callbacks(values), other(values);
  EXPECT_NE(callbacks.prefix, other.prefix) << "two clients would read each other's keys";
  PJRT_Client_Create_Args create{};
  callbacks.fill(create);
  PJRT_CallbackError maker = make_error;
  std::string key = "topology", value("a\0b", 3);

  PJRT_KeyValueTryGetCallback_Args absent{};
  absent.key = key.data();
  absent.key_size = key.size();
  absent.callback_error = &maker;
  absent.user_arg = create.kv_try_get_user_arg;
  EXPECT_EQ(taken(create.kv_try_get_callback(&absent)).code, PJRT_Error_Code_NOT_FOUND);

  PJRT_KeyValueGetCallback_Args get{};
  get.key = key.data();
  get.key_size = key.size();
  get.timeout_in_ms = 50;
  get.callback_error = &maker;
  get.user_arg = create.kv_get_user_arg;
  PluginError late = taken(create.kv_get_callback(&get));
  EXPECT_EQ(late.code, PJRT_Error_Code_DEADLINE_EXCEEDED);
  EXPECT_THAT(late.text, AllOf(HasSubstr("topology"), HasSubstr("50 ms")));

  PJRT_KeyValuePutCallback_Args put{};
  put.key = key.data();
  put.key_size = key.size();
  put.value = value.data();
  put.value_size = value.size();
  put.callback_error = &maker;
  put.user_arg = create.kv_put_user_arg;
  ASSERT_EQ(create.kv_put_callback(&put), nullptr);
  ASSERT_EQ(create.kv_get_callback(&get), nullptr);
  EXPECT_EQ(std::string(get.value, get.value_size), value);
  get.value_deleter_callback(get.value);
  ASSERT_EQ(create.kv_try_get_callback(&absent), nullptr);
  EXPECT_EQ(std::string(absent.value, absent.value_size), value);
  absent.value_deleter_callback(absent.value);
}

}  // namespace
}  // namespace fathom
