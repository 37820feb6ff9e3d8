#include "job/coordination.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Found {
  Coordination place;
  std::vector<std::string> notices;
};

Found resolved(const Environment& environment, std::vector<std::string> keys = {}) {
  keys.insert(keys.begin(),
              {"configs/base.yml", "model_name=deepseek3-tiny", "dataset_type=synthetic", "run_name=test"});
  Config config = resolve_config(keys, environment, {.found_hardware = Hardware::kGpu}).config;
  Found out;
  out.place = resolve_coordination(config, environment, out.notices);
  return out;
}

Coordination found(const Environment& environment, const std::vector<std::string>& keys = {}) {
  return resolved(environment, keys).place;
}

std::string problem(const Environment& environment, const std::vector<std::string>& keys = {}) {
  try {
    resolved(environment, keys);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

std::string address(const Coordination& c) { return c.address.host.empty() ? "" : c.address.to_string(); }

void expect(const Coordination& c, const std::string& where, int64_t index, int64_t count) {
  EXPECT_EQ(address(c), where);
  EXPECT_EQ(c.process_index, index);
  EXPECT_EQ(c.process_count, count);
}

const Environment kSlurm = {{"SLURM_JOB_ID", "70001"},
                            {"SLURM_STEP_ID", "0"},
                            {"SLURM_PROCID", "3"},
                            {"SLURM_STEP_NUM_TASKS", "4"},
                            {"SLURM_STEP_NUM_NODES", "4"},
                            {"SLURM_LOCALID", "0"},
                            {"SLURM_STEP_NODELIST", "gpu[017-019,024],other"}};

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

TEST(Coordination, OneProcessNeedsNone) {
  expect(found({}), "", 0, 1);
  expect(found({{"NNODES", "4"}, {"NODE_RANK", "1"}}), "", 0, 1);
  // An allocation without srun, and a batch script.
  expect(found({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}), "", 0, 1);
}

TEST(Coordination, KeysSayItAll) {
  Coordination c = found({}, {"coordinator_address=node:8476", "process_count=2", "process_index=1"});
  expect(c, "node:8476", 1, 2);
  EXPECT_EQ(c.job, "deepseek3-tiny");
  EXPECT_THAT(c.local_devices, IsEmpty());
}

TEST(Coordination, KeysGoBeforeTheEnvironmentOneByOne) {
  expect(found(kSlurm, {"coordinator_address=node:1"}), "node:1", 3, 4);
  expect(found(with(kSlurm, {{"JAX_COORDINATOR_ADDRESS", "jax:2"}})), "jax:2", 3, 4);
}

TEST(Coordination, ThePeersLaunchersAreUnderstood) {
  expect(
      found(
          {{"JAX_COORDINATOR_IP", "10.0.0.1"}, {"JAX_COORDINATOR_PORT", "6002"}, {"NNODES", "8"}, {"NODE_RANK", "5"}}),
      "10.0.0.1:6002", 5, 8);
  expect(found({{"JAX_COORDINATOR_ADDRESS", "pod-0.svc"}, {"JAX_PROCESS_COUNT", "2"}, {"JAX_PROCESS_ID", "0"}}),
         "pod-0.svc:1234", 0, 2);
  expect(found({{"JAX_COORDINATOR_IP", "fe80::1"}, {"NNODES", "2"}, {"NODE_RANK", "0"}}), "[fe80::1]:1234", 0, 2);
}

TEST(Coordination, SlurmStepGivesTheFirstNodeAndAPortOfTheJob) {
  Coordination c = found(kSlurm);
  expect(c, "gpu017:61809", 3, 4);  // 70001 mod 4096 + 61440
  EXPECT_EQ(c.job, "SLURM 70001.0");
  EXPECT_THAT(c.local_devices, IsEmpty());
  EXPECT_EQ(address(found(with(kSlurm, {{"SLURM_STEP_NODELIST", "a,b"}}))), "a:61809");
  EXPECT_EQ(address(found(with(kSlurm, {{"SLURM_STEP_NODELIST", "node-7"}}))), "node-7:61809");
  EXPECT_EQ(address(found(with(kSlurm, {{"SLURM_STEP_NODELIST", "n[08]"}}))), "n08:61809");
}

TEST(Coordination, SeveralTasksOfAMachineShareItsDevices) {
  Environment dense = with(kSlurm, {{"SLURM_STEP_NUM_NODES", "2"}, {"SLURM_LOCALID", "1"}});
  EXPECT_THAT(found(dense).local_devices, ElementsAre(1));
  EXPECT_THAT(found(with(dense, {{"CUDA_VISIBLE_DEVICES", "5"}})).local_devices, IsEmpty());
  EXPECT_THAT(found(with(dense, {{"CUDA_VISIBLE_DEVICES", "0,1"}})).local_devices, ElementsAre(1));
  EXPECT_THAT(found(with(dense, {{"JAX_LOCAL_DEVICE_IDS", "2,3"}})).local_devices, ElementsAre(2, 3));
  EXPECT_THAT(found(dense, {"local_device_ids=0"}).local_devices, ElementsAre(0));
  EXPECT_THAT(problem(dense, {"local_device_ids=a"}), HasSubstr("local_device_ids=a: must be numbers"));
}

TEST(Coordination, OpenMpiGivesTheMachineOfItsLauncher) {
  Environment mpi = {{"OMPI_MCA_orte_hnp_uri", "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"},
                     {"OMPI_COMM_WORLD_SIZE", "2"},
                     {"OMPI_COMM_WORLD_RANK", "1"},
                     {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                     {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}};
  // 1531576320 / 4096 = 373920, mod 4096 = 1184.
  expect(found(mpi), "10.96.0.1:62624", 1, 2);
  EXPECT_THAT(found(mpi).local_devices, ElementsAre(1));
  mpi["OMPI_MCA_orte_hnp_uri"] = "1314521088.0;tcp6://[fe80::b9b,2620::2]:43370";
  EXPECT_THAT(address(found(mpi)), HasSubstr("[fe80::b9b]:"));
  mpi.erase("OMPI_MCA_orte_hnp_uri");
  EXPECT_THAT(problem(mpi), HasSubstr("OMPI_COMM_WORLD_SIZE=2: give coordinator_address"));
}

TEST(Coordination, HalvesAreMistakesThatNameTheOther) {
  EXPECT_THAT(problem({}, {"coordinator_address=node:1"}), HasSubstr("coordinator_address=node:1: give process_count"));
  EXPECT_THAT(problem({}, {"process_count=2"}), HasSubstr("process_count=2: give coordinator_address=HOST:PORT"));
  EXPECT_THAT(problem({}, {"coordinator_address=node:1", "process_count=2"}),
              HasSubstr("process_index must be 0 to 1"));
  EXPECT_THAT(problem({}, {"coordinator_address=node:1", "process_count=2", "process_index=2"}),
              HasSubstr("process_index=2: process_index must be 0 to 1"));
  EXPECT_THAT(problem(with(kSlurm, {{"SLURM_PROCID", "x"}})), HasSubstr("SLURM_PROCID=x: must be a number"));
}

TEST(Coordination, AddressIsCheckedBeforeAnythingIsReached) {
  EXPECT_THAT(problem({}, {"coordinator_address=node", "process_count=2", "process_index=1"}),
              HasSubstr("coordinator_address=node: must be host:port"));
  EXPECT_THAT(problem({{"JAX_COORDINATOR_ADDRESS", "node:x"}, {"NNODES", "2"}, {"NODE_RANK", "0"}}),
              HasSubstr("JAX_COORDINATOR_ADDRESS=node:x: must be host:port"));
}

TEST(Coordination, Process0ListensWhereItIsTold) {
  const std::vector<std::string> keys = {"coordinator_address=node:8476", "process_count=2", "process_index=0"};
  auto bind = [&](const Environment& environment, const std::string& key = "") {
    std::vector<std::string> all = keys;
    if (!key.empty()) all.push_back(key);
    return found(environment, all).bind.to_string();
  };
  EXPECT_EQ(bind({}), ":8476") << "all addresses";
  EXPECT_EQ(bind({{"JAX_COORDINATOR_BIND_ADDRESS", "[::]:1"}}), "[::]:1");
  EXPECT_EQ(bind({{"JAX_COORDINATOR_BIND_ADDRESS", "[::]:1"}}, "coordinator_bind_address=10.0.0.1"), "10.0.0.1:8476");
  EXPECT_EQ(bind({}, "coordinator_bind_address=fe80::1"), "[fe80::1]:8476");
  EXPECT_THAT(resolved({}, {"coordinator_bind_address=10.0.0.1"}).notices, ElementsAre(HasSubstr("runs alone")));
  EXPECT_THAT(problem({}, {keys[0], keys[1], keys[2], "coordinator_bind_address=a:b"}),
              HasSubstr("coordinator_bind_address=a:b: must be host:port"));
}

TEST(Coordination, SecretComesFromTheEnvironmentAndIsNotShown) {
  Environment secret = with(kSlurm, {{"FATHOM_JOB_SECRET", "open sesame"}});
  EXPECT_EQ(found(secret).secret, "open sesame");
  EXPECT_EQ(found(kSlurm).secret, "");
  secret["FATHOM_JOB_SECRET"] = std::string(2000, 's');
  EXPECT_THAT(problem(secret),
              testing::AllOf(HasSubstr("FATHOM_JOB_SECRET: longer than 1024 bytes"), testing::Not(HasSubstr("sss"))));
}

TEST(Coordination, SkippedOnRequest) { expect(found(kSlurm, {"skip_jax_distributed_system=True"}), "", 0, 1); }

TEST(Coordination, GpuMultiprocessIsGpu) { expect(found(kSlurm, {"hardware=gpu_multiprocess"}), "gpu017:61809", 3, 4); }

TEST(Coordination, OnlyGpusNeedIt) {
  EXPECT_THAT(problem({}, {"hardware=cpu", "process_count=2"}), HasSubstr("process_count: the CPU plugins have no"));
  Found cpu = resolved(kSlurm, {"hardware=cpu"});
  expect(cpu.place, "", 0, 1);
  EXPECT_THAT(cpu.notices, testing::Contains(HasSubstr("SLURM_STEP_NUM_TASKS=4")));
  Found tpu = resolved(kSlurm, {"hardware=tpu", "process_count=2"});
  expect(tpu.place, "", 0, 1);
  EXPECT_THAT(tpu.notices, testing::Contains(HasSubstr("TPUs find each other")));
}

}  // namespace
}  // namespace fathom
