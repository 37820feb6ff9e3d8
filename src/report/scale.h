// From values to places on an axis, and the ticks that stand there.
#pragma once

#include <string>
#include <vector>

namespace fathom {

// An axis from 0 (low) to 1 (high).
struct Scale {
  double low = 0, high = 1;  // of what the axis shows; low < high
  bool logarithmic = false;  // then low is above 0

  // Of a value within the axis; what is outside is put on its end.
  double place(double value) const;
};

// An axis that holds `least` and `greatest`, both finite, begun and ended at a tick of about `count`. Where all values
// are the same there is room around them.
Scale linear_scale(double least, double greatest, int count);
// The same, by powers of ten; least is above 0.
Scale log_scale(double least, double greatest);

// 1, 2 or 5 times a power of ten, so that about `count` fit into the span.
double tick_step(double span, int count);
// The ticks of a scale, low to high: multiples of a tick_step, or powers of ten (with 2 and 5 times them where there
// are few, every second, third, ... where there are many).
std::vector<double> ticks(const Scale& scale, int count);
// The ticks of an axis of steps: whole numbers.
std::vector<double> step_ticks(const Scale& scale, int count);

// As short as a tick's text may be: "0.02", "1.5k", "250k", "3M", "1e-5". `step` is the distance to the next tick,
// which decides the decimals; 0 for ticks that have none.
std::string tick_text(double value, double step);
// A number in words of text: four significant digits, "12,345", "NaN".
std::string number_text(double value);
// "1,234,567".
std::string count_text(long long count);

}  // namespace fathom
