// The ranges that several keys share.
#pragma once

#include "config/keys/keys.h"

namespace fathom {

// Rows, ids, counters and most sizes are numbers of 32 bits somewhere on their way.
inline constexpr double kMostInt32 = 2147483647;
// More machines, processes or devices than anyone has.
inline constexpr double kMostDevices = 1048576;
// Positions up to here are exact in float32, where their angles are computed.
inline constexpr double kMostLength = 16777216;
// Layers are listed, and unrolled with scan_layers=False.
inline constexpr double kMostLayers = 10000;
inline constexpr double kMostExperts = 65536;
// Weights of losses, decays and rates: far above what trains, far below what float32 holds.
inline constexpr double kMostFactor = 1e6;

inline constexpr KeyRange kSize = {.least = 1, .most = kMostInt32};        // of an array or a loop
inline constexpr KeyRange kBytes = {.least = 1, .most = 1e15};             // of a file
inline constexpr KeyRange kSizeOrNone = {.least = 0, .most = kMostInt32};  // 0: there is none
inline constexpr KeyRange kCountOrMinusOne = {.least = 1, .most = kMostInt32, .or_minus_one = true};
inline constexpr KeyRange kFromMinusOne = {.least = -1, .most = kMostInt32};  // -1 and 0 have a meaning of their own
inline constexpr KeyRange kDevices = {.least = 1, .most = kMostDevices, .or_minus_one = true};
inline constexpr KeyRange kFraction = {.least = 0, .most = 1};
inline constexpr KeyRange kFractionOrMinusOne = {.least = 0, .most = 1, .or_minus_one = true};
inline constexpr KeyRange kDecay = {.least = 0, .most = 1, .below = true};  // of a moment
inline constexpr KeyRange kEpsilon = {.least = 0, .most = 1, .above = true};
inline constexpr KeyRange kFactor = {.least = 0, .most = kMostFactor};
// A rate that blows up the parameters is found by the loss, which names the step and the arrays.
inline constexpr KeyRange kRate = {.least = 0, .most = 1e30};
inline constexpr KeyRange kPositive = {.least = 0, .most = kMostFactor, .above = true};
inline constexpr KeyRange kCapacity = {.least = -kMostFactor, .most = kMostFactor};  // 0 and below: unbounded
inline constexpr KeyRange kTheta = {.least = 1, .most = 1e30, .above = true};
inline constexpr KeyRange kRowsOfDevice = {.least = 0, .most = kMostInt32, .above = true};
inline constexpr KeyRange kLength = {.least = 1, .most = kMostLength};
inline constexpr KeyRange kVocabulary = {.least = 2, .most = kMostInt32};
inline constexpr KeyRange kLayers = {.least = 1, .most = kMostLayers};
inline constexpr KeyRange kLayersOrNone = {.least = 0, .most = kMostLayers};
inline constexpr KeyRange kModules = {.least = 0, .most = 64};  // for prediction; each stands in the program by itself
inline constexpr KeyRange kExperts = {.least = 1, .most = kMostExperts};
inline constexpr KeyRange kExpertsOrNone = {.least = 0, .most = kMostExperts};
inline constexpr KeyRange kGroups = {.least = -1, .most = kMostExperts};  // -1 and 0: none
inline constexpr KeyRange kPowers = {.least = 1, .most = kMostDevices};
inline constexpr KeyRange kIndex = {.least = -1, .most = kMostDevices};  // -1: from elsewhere
inline constexpr KeyRange kVirtualDevices = {.least = 1, .most = 1024};
inline constexpr KeyRange kSeconds = {.least = 1, .most = 31536000};  // a year

}  // namespace fathom
