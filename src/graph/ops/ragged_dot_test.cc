#include <gmock/gmock.h>

#include "graph/ops.h"

namespace fathom {
namespace {

using testing::HasSubstr;

class RaggedDotTest : public testing::Test {
 protected:
  Value arg(Shape shape, DType dtype = DType::kBF16) { return g_.arg("x", {dtype, std::move(shape)}); }
  std::string refusal(Value lhs, Value rhs, Value sizes, const char* contract) {
    try {
      ragged_dot(lhs, rhs, sizes, contract);
    } catch (const GraphError& e) {
      return e.what();
    }
    return "accepted";
  }
  Graph g_;
  Value sizes_ = arg({{"e", 3}}, DType::kS32);
};

TEST_F(RaggedDotTest, SumsOverTheNamedAxisWhereverTheMatricesHaveIt) {
  Value x = arg({{"m", 8}, {"k", 4}});
  EXPECT_EQ(ragged_dot(x, arg({{"e", 3}, {"n", 5}, {"k", 4}}), sizes_, "k").type().to_string(), "bf16[m=8 n=5]");
  EXPECT_EQ(ragged_dot(x, arg({{"e", 3}, {"k", 4}, {"n", 5}}), sizes_, "k").type().to_string(), "bf16[m=8 n=5]");
  EXPECT_EQ(ragged_dot(x, arg({{"m", 8}, {"n", 5}}), sizes_, "m").type().to_string(), "bf16[e=3 k=4 n=5]");
}

TEST_F(RaggedDotTest, RefusesWhatIsNoGroupedProduct) {
  Value x = arg({{"m", 8}, {"k", 4}});
  EXPECT_THAT(refusal(x, arg({{"e", 2}, {"n", 5}, {"k", 4}}), sizes_, "k"), HasSubstr("a matrix for each group size"));
  EXPECT_THAT(refusal(x, arg({{"e", 3}, {"n", 5}, {"k", 6}}), sizes_, "k"), HasSubstr("summed axis differ"));
  EXPECT_THAT(refusal(x, arg({{"n", 5}, {"m", 8}}), sizes_, "m"), HasSubstr("first axis of both"));
  EXPECT_THAT(refusal(x, arg({{"e", 3}, {"n", 5}, {"k", 4}}, DType::kF32), sizes_, "k"), HasSubstr("one type"));
  EXPECT_THAT(refusal(x, arg({{"e", 3}, {"n", 5}, {"k", 4}}), arg({{"e", 3}}), "k"), HasSubstr("s32"));
  EXPECT_THAT(refusal(x, arg({{"e", 3}, {"n", 5}, {"k", 4}}), sizes_, "q"), HasSubstr("'q'"));
}

}  // namespace
}  // namespace fathom
