// The tables of keys, one a file; key_groups() puts them together.
#pragma once

#include "config/keys/keys.h"

namespace fathom {

KeyGroup run_keys();            // run.cc
KeyGroup model_keys();          // model.cc
KeyGroup moe_keys();            // moe.cc
KeyGroup train_keys();          // train.cc
KeyGroup remat_keys();          // remat.cc
KeyGroup data_keys();           // data.cc
KeyGroup mesh_keys();           // mesh.cc
KeyGroup checkpoint_keys();     // checkpoint.cc
KeyGroup decode_keys();         // decode.cc
KeyGroup quantization_keys();   // quantization.cc
KeyGroup services_keys();       // services.cc
KeyGroup tile_keys();           // tiles.cc
KeyGroup post_training_keys();  // post_training.cc
KeyGroup family_keys();         // families.cc
KeyGroup derived_keys();        // derived.cc

}  // namespace fathom
