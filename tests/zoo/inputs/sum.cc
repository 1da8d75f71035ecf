template <typename T> constexpr T square(T value) { return value * value; }

int sum(int last) {
  auto total = 0;
  for (auto number = 1; number <= last; ++number) total += square(number);
  return total;
}
