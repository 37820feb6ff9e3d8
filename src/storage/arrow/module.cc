#include "storage/arrow/calls.h"

extern "C" __attribute__((visibility("default"))) const fathom::ArrowAbi* fathom::fathom_arrow_abi() {
  static const ArrowAbi abi = {
      .version = kArrowAbiVersion,
      .stat = object_stat,
      .list = object_list,
      .remove = object_remove,
      .open = object_open,
      .read = object_read,
      .close = object_close,
      .upload_begin = upload_begin,
      .upload_append = upload_append,
      .upload_finish = upload_finish,
      .upload_close = upload_close,
      .parquet_open = parquet_open,
      .parquet_close = parquet_close,
      .parquet_layout = parquet_layout,
      .parquet_read = parquet_read,
      .parquet_read_json = parquet_read_json,
  };
  return &abi;
}
