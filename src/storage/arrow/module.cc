#include "storage/arrow/calls.h"

extern "C" __attribute__((visibility("default"))) const fathom::ArrowAbi* fathom::fathom_arrow_abi() {
  static const ArrowAbi abi = {
      .version = kArrowAbiVersion,
      .stat = object_stat,
      .read = object_read,
      .list = object_list,
      .write = object_write,
      .remove = object_remove,
      .parquet_open = parquet_open,
      .parquet_close = parquet_close,
      .parquet_layout = parquet_layout,
      .parquet_read = parquet_read,
  };
  return &abi;
}
