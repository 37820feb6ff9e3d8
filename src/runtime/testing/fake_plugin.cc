// A shared object that looks like a PJRT plugin up to the fault under test. Built once a fault:
//   FAKE_NO_ENTRY        no GetPjrtApi
//   FAKE_OLD             an API version from before fathom's oldest
//   FAKE_SHORT_TABLE     a table of functions that ends before PJRT_Plugin_Initialize
//   FAKE_FAILING         its initialisation reports an error
#include <pjrt_c_api.h>

#include <string_view>

#ifdef FAKE_NO_ENTRY

extern "C" int fathom_fake_plugin() { return 0; }

#else

namespace {

constexpr std::string_view kMessage = "no such accelerator";

void destroy_error(PJRT_Error_Destroy_Args*) {}

void error_message(PJRT_Error_Message_Args* args) {
  args->message = kMessage.data();
  args->message_size = kMessage.size();
}

PJRT_Error* error_code(PJRT_Error_GetCode_Args* args) {
  args->code = PJRT_Error_Code_UNAVAILABLE;
  return nullptr;
}

PJRT_Error* fail_to_initialize(PJRT_Plugin_Initialize_Args*) {
  static int error;
  return reinterpret_cast<PJRT_Error*>(&error);
}

}  // namespace

extern "C" const PJRT_Api* GetPjrtApi() {
  static PJRT_Api api{};
  api.struct_size = PJRT_Api_STRUCT_SIZE;
  api.pjrt_api_version.major_version = PJRT_API_MAJOR;
  api.pjrt_api_version.minor_version = PJRT_API_MINOR;
  api.PJRT_Error_Destroy = destroy_error;
  api.PJRT_Error_Message = error_message;
  api.PJRT_Error_GetCode = error_code;
  api.PJRT_Plugin_Initialize = fail_to_initialize;
#ifdef FAKE_OLD
  api.pjrt_api_version.minor_version = 40;
#endif
#ifdef FAKE_SHORT_TABLE
  // Cuts the pointer in half: the slot does not lie wholly inside the table.
  api.struct_size = offsetof(PJRT_Api, PJRT_Plugin_Initialize) + sizeof(void*) / 2;
#endif
  return &api;
}

#endif
