#!/usr/bin/env bash
# Usage: verify_everywhere.sh FATHOM. The reference models on every installed CPU plugin, with kernels and without,
# scanned and not, plain and blockwise attention, on one device and on a mesh.
set -euo pipefail
fathom=$1
mesh="cpu_device_count=4 ici_fsdp_parallelism=2 ici_expert_parallelism=2"
for plugin in .venv/lib/python3*/site-packages/{lammps_jax_pjrt_cpu,xla_plugins/xla_cpu_pjrt}/*.so; do
  for model in deepseek_v2 deepseek_v3 deepseek_v32; do
    checks=logits,batch,intermediates,router,gradients,adamw
    [[ $model == deepseek_v3 ]] && checks+=,mtp
    [[ $model == deepseek_v32 ]] && checks+=,indexer
    for keys in "kernels=auto" "kernels=off" "attention=flash" "sparse_matmul=false" "$mesh" "$mesh attention=flash"; do
      printf '== %s, %s, %s\n' "$(basename "$plugin")" "$model" "$keys"
      # The keys are words on purpose.
      # shellcheck disable=SC2086
      "$fathom" verify "tests/data/$model" --only="$checks" --scan=both plugin="$plugin" $keys 2>/dev/null
    done
  done
done
