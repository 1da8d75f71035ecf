def primes(limit):
    sieve = [1] * (limit + 1)
    sieve[0] = sieve[1] = 0
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            for multiple in range(number * number, limit + 1, number):
                sieve[multiple] = 0
    return [number for number in range(limit + 1) if sieve[number]]


found = primes(200000)
print(len(found), found[-5:], sum(found))
