#include <cstdint>

#include "families.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

using Args = std::span<const Value>;

constexpr int64_t kLayers = 3;
const GradientChecks::Input kX{{{"b", 2}, {"d", 4}}};
const GradientChecks::Input kWeights{{{"l", kLayers}, {"o", 4}, {"d", 4}}};
const GradientChecks::Input kScale{{{"d", 4}}};

// One layer with an intermediate under a tag.
Value layer(Value h, Value w, Value scale) {
  Value u = tag(tanh(rename(dot(h, w, "d"), "o", "d")), "u");
  return h + u * scale + sin(u);
}

// x, stacked weights, a captured scale; gives the last carry and the stacked carries, in one value.
enum class Form : uint8_t { kUnrolled, kScan, kReverseScan, kRemat, kRematSaved };

Value layers(Args x, Form form) {
  Graph& g = x[0].graph();
  if (form == Form::kUnrolled) {
    Value h = x[0];
    std::vector<Value> parts;
    for (int64_t l = 0; l < kLayers; ++l) {
      h = layer(h, squeeze(slice(x[1], "l", l, l + 1), "l"), x[2]);
      parts.push_back(expand(h, "l"));
    }
    parts.push_back(expand(h, "l"));
    return concatenate(parts, "l");
  }
  ScanOptions options{.axis = "l", .length = kLayers, .reverse = form == Form::kReverseScan};
  ScanResult out = scan(g, options, {x[0]}, {x[1]}, [&](Value, Args carry, Args slices) {
    Value h = carry[0];
    Value w = slices[0];
    if (form == Form::kRemat || form == Form::kRematSaved) {
      std::set<std::string> saved;
      if (form == Form::kRematSaved) saved.insert("u");
      h = remat(g, saved, [&] { return std::vector<Value>{layer(h, w, x[2])}; })[0];
    } else {
      h = layer(h, w, x[2]);
    }
    return ScanBody{{h}, {h}};
  });
  return concatenate({out.stack[0], expand(out.carry[0], "l")}, "l");
}

// A sum over pairs (i, j) of rows of x[0] and x[1], with a capture of the outer body in the inner one.
Value pairs(Args x) {
  Graph& g = x[0].graph();
  auto outer = [&](Value, Args carry, Args rows) {
    Value a = rows[0] * x[2];
    auto inner = [&](Value, Args sum, Args others) {
      return ScanBody{{sum[0] + exp(a * others[0]) * x[2]}, {sin(a + others[0])}};
    };
    ScanResult in = scan(g, {.axis = "m", .length = 2}, {carry[0]}, {x[1]}, inner);
    return ScanBody{{in.carry[0]}, {reduce_sum(in.stack[0] * carry[0], "m")}};
  };
  ScanResult out = scan(g, {.axis = "n", .length = 3, .reverse = true}, {x[2]}, {x[0]}, outer);
  return out.carry[0] * reduce_sum(out.stack[0], "n");
}

void scan_checks(GradientChecks& t) {
  for (Form form : {Form::kScan, Form::kReverseScan, Form::kRemat, Form::kRematSaved}) {
    t.check("layers " + std::to_string(static_cast<int>(form)), {kX, kWeights, kScale},
            [=](Args x) { return layers(x, form); });
  }
  for (Form form : {Form::kScan, Form::kRemat, Form::kRematSaved}) {
    t.same(
        "layers as unrolled " + std::to_string(static_cast<int>(form)), {kX, kWeights, kScale},
        [=](Args x) { return layers(x, form); }, [](Args x) { return layers(x, Form::kUnrolled); });
  }
  t.check("scan in scan", {{{{"n", 3}, {"d", 4}}}, {{{"m", 2}, {"d", 4}}}, {{{"d", 4}}, 0.5, 1}}, pairs);
  t.check("carries that swap, one of them an integer", {kScale, kScale}, [](Args x) {
    Graph& g = x[0].graph();
    Value zero = zeros(g, {DType::kS32, {}});
    ScanResult out = scan(g, {.axis = "l", .length = 3}, {x[0], x[1], zero}, {}, [](Value i, Args c, Args) {
      Value n = c[2] + i;
      return ScanBody{{c[1], c[0] * convert(n + 1, DType::kF64), n}, {}};
    });
    return out.carry[0] * out.carry[0] + out.carry[1];
  });
  t.check("one stack sliced and captured whole", {{{{"l", 3}, {"d", 2}}}}, [](Args x) {
    Value sum = zeros(x[0].graph(), {DType::kF64, {{"d", 2}}});
    return scan(x[0].graph(), {.axis = "l", .length = 3}, {sum}, {x[0]},
                [&](Value i, Args c, Args s) {
                  return ScanBody{{c[0] + s[0] * dynamic_index(x[0], "l", 2 - i)}, {}};
                })
        .carry[0];
  });
  t.check("scans over axes of one name", {{{{"l", 3}, {"d", 2}}}}, [](Args x) {
    Graph& g = x[0].graph();
    return scan(g, {.axis = "l", .length = 3}, {slice(x[0], "l", 0, 1)}, {x[0]},
                [&](Value, Args c, Args s) {
                  Value start = squeeze(c[0], "l") + s[0];
                  auto inner = [](Value, Args h, Args row) { return ScanBody{{sin(h[0] * row[0])}, {}}; };
                  return ScanBody{{expand(scan(g, {.axis = "l", .length = 3}, {start}, {x[0]}, inner).carry[0], "l")},
                                  {}};
                })
        .carry[0];
  });
  t.check("a carry that does not matter", {kX, kWeights}, [](Args x) {
    Graph& g = x[0].graph();
    ScanResult out = scan(g, {.axis = "l", .length = kLayers}, {x[0], x[0]}, {x[1]}, [](Value, Args c, Args s) {
      Value h = rename(dot(c[0], s[0], "d"), "o", "d");
      return ScanBody{{c[0], exp(c[1])}, {h * h}};
    });
    return out.stack[0];
  });
}

void remat_checks(GradientChecks& t) {
  auto body = [](Args x) {
    Value u = tag(exp(x[0] * x[1]), "u");
    Value v = tag(sin(u) * x[0], "v");
    return std::vector<Value>{v * u, u};
  };
  auto plain = [=](Args x) {
    std::vector<Value> y = body(x);
    return y[0] * y[1] + x[0];
  };
  const std::set<std::string> policies[] = {{}, {"u"}, {"u", "v"}, {"unknown"}};
  for (const std::set<std::string>& saved : policies) {
    auto again = [=](Args x) {
      std::vector<Value> y = remat(x[0].graph(), saved, [&] { return body(x); });
      return y[0] * y[1] + x[0];
    };
    const std::string name = "remat with " + std::to_string(saved.size()) + " saved";
    t.check(name, {kX, kScale}, again);
    t.same(name + " as without", {kX, kScale}, again, plain);
  }
  t.check("remat in remat", {kX, kScale}, [=](Args x) {
    Graph& g = x[0].graph();
    return remat(g, {"v"}, [&] {
      Value h = remat(g, {"u"}, [&] { return body(x); })[0];
      return std::vector<Value>{tanh(h) * x[1]};
    })[0];
  });
  t.check("one of two results", {kX, kScale},
          [=](Args x) { return remat(x[0].graph(), {}, [&] { return body(x); })[1]; });
}

}  // namespace

void region_family(GradientChecks& t) {
  scan_checks(t);
  remat_checks(t);
}

}  // namespace fathom
