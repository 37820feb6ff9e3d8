#include "job/coordination.h"

#include <cctype>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "config/problems.h"

namespace fathom {
namespace {

// JAX and its launchers choose a port from the last 4096 by the number of the job.
constexpr int64_t kJobPorts = 4096;
constexpr int64_t kFirstJobPort = 65536 - kJobPorts;
// What the peer's launchers take when they name only a host.
constexpr int64_t kDefaultPort = 1234;
constexpr size_t kLongestSecret = 1024;

// A value and where it comes from, for messages.
template <class T>
struct Found {
  T value{};
  std::string origin;
};

std::optional<int64_t> number(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

// The first host of a list such as "node[001-015,020],other".
std::string first_host(const std::string& list) {
  size_t end = list.find_first_of(",[");
  if (end == std::string::npos || list[end] == ',') return list.substr(0, end);
  size_t digits = end + 1;
  size_t stop = list.find_first_of(",-]", digits);
  return list.substr(0, end) + list.substr(digits, stop == std::string::npos ? stop : stop - digits);
}

class Cluster {
 public:
  Cluster(const Config& config, const Environment& environment, Problems& problems)
      : config_(config), environment_(environment), problems_(problems) {}

  Found<std::string> address() {
    if (!config_.coordinator_address.empty()) return {config_.coordinator_address, "coordinator_address"};
    if (std::string a = text("JAX_COORDINATOR_ADDRESS"); !a.empty()) return {with_port(a), "JAX_COORDINATOR_ADDRESS"};
    if (std::string a = text("JAX_COORDINATOR_IP"); !a.empty()) return {with_port(a), "JAX_COORDINATOR_IP"};
    if (in_slurm_step()) {
      int64_t job = number_of("SLURM_JOB_ID").value_or(0);
      return {fmt::format("{}:{}", first_host(text("SLURM_STEP_NODELIST")), job % kJobPorts + kFirstJobPort),
              "SLURM_STEP_NODELIST"};
    }
    return open_mpi_address();
  }

  // Where process 0 listens when its store has this address: on all addresses of its machine unless told otherwise.
  SocketAddress bind(const SocketAddress& address) {
    Found<std::string> found = {config_.coordinator_bind_address, "coordinator_bind_address"};
    if (found.value.empty()) found = {text("JAX_COORDINATOR_BIND_ADDRESS"), "JAX_COORDINATOR_BIND_ADDRESS"};
    if (found.value.empty()) return {"", address.port};
    return parsed({with_port(found.value, address.port), found.origin});
  }

  SocketAddress parsed(const Found<std::string>& address) {
    try {
      return SocketAddress::parse(address.value, address.origin);
    } catch (const ConfigError& error) {
      problems_.add("{}", error.what());
      return {};
    }
  }

  // Not to be shown in any message.
  std::string secret() {
    std::string value = text("FATHOM_JOB_SECRET");
    if (value.size() > kLongestSecret) {
      problems_.add("environment FATHOM_JOB_SECRET: longer than {} bytes", kLongestSecret);
    }
    return value;
  }

  Found<int64_t> count() {
    if (config_.process_count >= 0) return {config_.process_count, "process_count"};
    return first_number(count_variables());
  }
  Found<int64_t> index() {
    if (config_.process_index >= 0) return {config_.process_index, "process_index"};
    std::vector<const char*> variables = {"JAX_PROCESS_ID", "JAX_PROCESS_INDEX"};
    if (has("JAX_COORDINATOR_IP") || has("JAX_COORDINATOR_ADDRESS")) variables.push_back("NODE_RANK");
    if (in_slurm_step()) variables.push_back("SLURM_PROCID");
    variables.push_back("OMPI_COMM_WORLD_RANK");
    return first_number(variables);
  }

  // Something that is the same in all processes of this job and in no other that could answer at the address.
  std::string job() const {
    if (in_slurm_step()) return fmt::format("SLURM {}.{}", text("SLURM_JOB_ID"), text("SLURM_STEP_ID"));
    for (const char* variable : {"JOBSET_NAME", "OMPI_MCA_ess_base_jobid", "PMIX_NAMESPACE"}) {
      if (has(variable)) return text(variable);
    }
    return config_.model_name;
  }

  // Devices of this machine that are this process's alone; empty: all that it sees.
  std::vector<int64_t> devices() {
    if (!config_.local_device_ids.empty()) return numbers("local_device_ids", config_.local_device_ids);
    if (has("JAX_LOCAL_DEVICE_IDS")) return numbers("JAX_LOCAL_DEVICE_IDS", text("JAX_LOCAL_DEVICE_IDS"));
    // A launcher that starts several processes a machine means one device each, unless it hides the others itself.
    if (std::string seen = text("CUDA_VISIBLE_DEVICES"); !seen.empty() && seen.find(',') == std::string::npos)
      return {};
    if (in_slurm_step()) {
      std::optional<int64_t> nodes = number_of("SLURM_STEP_NUM_NODES"), own = number_of("SLURM_LOCALID");
      if (nodes && own && count().value > *nodes) return {*own};
    } else if (number_of("OMPI_COMM_WORLD_LOCAL_SIZE").value_or(1) > 1) {
      if (std::optional<int64_t> own = number_of("OMPI_COMM_WORLD_LOCAL_RANK")) return {*own};
    }
    return {};
  }

 private:
  std::string text(const std::string& name) const { return variable(environment_, name); }
  bool has(const char* variable) const { return !text(variable).empty(); }
  // Inside `srun`; a batch script or an allocation alone has no step, and no list of its nodes.
  bool in_slurm_step() const { return has("SLURM_STEP_NODELIST") && has("SLURM_PROCID"); }

  std::vector<const char*> count_variables() const {
    std::vector<const char*> out = {"JAX_NUM_PROCESSES", "JAX_PROCESS_COUNT"};
    if (has("JAX_COORDINATOR_IP") || has("JAX_COORDINATOR_ADDRESS")) out.push_back("NNODES");
    if (in_slurm_step()) out.insert(out.end(), {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
    out.push_back("OMPI_COMM_WORLD_SIZE");
    return out;
  }

  std::optional<int64_t> number_of(const char* variable) {
    if (!has(variable)) return std::nullopt;
    std::optional<int64_t> value = number(text(variable));
    if (!value) problems_.add("environment {}={}: must be a number", variable, text(variable));
    return value;
  }

  Found<int64_t> first_number(const std::vector<const char*>& variables) {
    for (const char* variable : variables) {
      if (!has(variable)) continue;
      return {number_of(variable).value_or(0), variable};
    }
    return {-1, ""};
  }

  std::vector<int64_t> numbers(const char* what, const std::string& list) {
    std::vector<int64_t> out;
    for (size_t begin = 0; begin <= list.size();) {
      size_t end = std::min(list.find(',', begin), list.size());
      std::optional<int64_t> value = number(list.substr(begin, end - begin));
      if (!value || *value < 0) {
        problems_.add("{}={}: must be numbers of devices, such as 0,1", what, list);
        return {};
      }
      out.push_back(*value);
      begin = end + 1;
    }
    return out;
  }

  // What the peer's launchers take when they name only a host.
  std::string with_port(const std::string& host) {
    return with_port(host, number_of("JAX_COORDINATOR_PORT").value_or(kDefaultPort));
  }

  static std::string with_port(const std::string& host, int64_t port) {
    bool bare_ipv6 = host.find(':') != host.rfind(':') && !host.starts_with('[');
    bool has_port = host.find(':') != std::string::npos && !bare_ipv6 && !host.ends_with(']');
    if (has_port) return host;
    std::string bracketed = bare_ipv6 ? "[" + host + "]" : host;
    return fmt::format("{}:{}", bracketed, port);
  }

  // "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911", "...;tcp6://[fe80::1,2620::2]:43370": the machine of the launcher,
  // where process 0 runs too.
  Found<std::string> open_mpi_address() const {
    constexpr const char* kVariable = "OMPI_MCA_orte_hnp_uri";
    std::string uri = text(kVariable);
    size_t scheme = uri.find("://");
    if (scheme == std::string::npos) return {};
    bool six = uri.compare(0, scheme, "tcp6") == 0 || uri.substr(0, scheme).ends_with("tcp6");
    size_t begin = scheme + 3 + (six ? 1 : 0);
    std::string host = uri.substr(begin, uri.find_first_of(six ? ",]" : ",:", begin) - begin);
    // Job numbers are multiples of 2^12.
    int64_t job = number(uri.substr(0, uri.find('.'))).value_or(0) / kJobPorts;
    return {fmt::format("{}{}{}:{}", six ? "[" : "", host, six ? "]" : "", job % kJobPorts + kFirstJobPort), kVariable};
  }

  const Config& config_;
  const Environment& environment_;
  Problems& problems_;
};

// A key of the coordination that is given; empty when none is.
std::string given_key(const Config& config) {
  if (config.process_count >= 0) return "process_count";
  if (!config.coordinator_address.empty()) return "coordinator_address";
  return config.process_index >= 0 ? "process_index" : "";
}

// Of a GPU run.
Coordination gpu_coordination(Cluster& cluster, Problems& problems) {
  Coordination out;
  out.local_devices = cluster.devices();
  Found<std::string> address = cluster.address();
  Found<int64_t> count = cluster.count(), index = cluster.index();
  if (count.value < 0 && address.origin.empty() && index.value < 0) return out;
  if (count.value == 1 && address.origin.empty()) return out;
  if (count.value < 1) {
    problems.add("{}={}: give process_count too, the number of processes of the job",
                 address.origin.empty() ? index.origin : address.origin,
                 address.origin.empty() ? std::to_string(index.value) : address.value);
  } else if (address.origin.empty()) {
    problems.add("{}={}: give coordinator_address=HOST:PORT too, the machine of process 0 and a free port there",
                 count.origin, count.value);
  } else if (index.value < 0 || index.value >= count.value) {
    problems.add("{}={}: process_index must be 0 to {}, and another one in each process",
                 index.origin.empty() ? "process_index" : index.origin, index.value, count.value - 1);
  } else {
    out.address = cluster.parsed(address);
    out.bind = cluster.bind(out.address);
    out.process_count = count.value;
    out.process_index = index.value;
    out.job = cluster.job();
    out.secret = cluster.secret();
  }
  return out;
}

}  // namespace

Coordination resolve_coordination(const Config& config, const Environment& environment,
                                  std::vector<std::string>& notices) {
  if (config.skip_jax_distributed_system || !config.compile_topology.empty()) return {};
  Problems problems;
  Cluster cluster(config, environment, problems);
  std::string key = given_key(config);
  Coordination out;
  if (config.hardware == Hardware::kGpu) {
    out = gpu_coordination(cluster, problems);
    if (out.process_count == 1 && !config.coordinator_bind_address.empty()) {
      notices.emplace_back("coordinator_bind_address has no effect: the process runs alone");
    }
  } else if (config.hardware == Hardware::kTpu) {
    if (!key.empty()) notices.push_back(key + " and the like have no effect: TPUs find each other");
  } else if (!key.empty()) {
    problems.add(
        "{}: the CPU plugins have no collectives between processes; leave the key out, or give "
        "skip_jax_distributed_system=True",
        key);
  } else if (Found<int64_t> count = cluster.count(); count.value > 1) {
    notices.push_back(
        fmt::format("{}={}: with hardware=cpu each of the processes is a run of its own", count.origin, count.value));
  }
  problems.throw_if_any();
  return out;
}

}  // namespace fathom
