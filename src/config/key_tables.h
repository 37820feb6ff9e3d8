// The tables of keys, one a file; key_groups() puts them together.
#pragma once

#include "config/keys.h"

namespace fathom {

KeyGroup run_keys();            // keys_run.cc
KeyGroup model_keys();          // keys_model.cc
KeyGroup moe_keys();            // keys_moe.cc
KeyGroup train_keys();          // keys_train.cc
KeyGroup remat_keys();          // keys_remat.cc
KeyGroup data_keys();           // keys_data.cc
KeyGroup mesh_keys();           // keys_mesh.cc
KeyGroup checkpoint_keys();     // keys_checkpoint.cc
KeyGroup decode_keys();         // keys_decode.cc
KeyGroup quantization_keys();   // keys_quantization.cc
KeyGroup services_keys();       // keys_services.cc
KeyGroup tile_keys();           // keys_tiles.cc
KeyGroup post_training_keys();  // keys_post_training.cc
KeyGroup family_keys();         // keys_families.cc
KeyGroup derived_keys();        // keys_derived.cc

}  // namespace fathom
