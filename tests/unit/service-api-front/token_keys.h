// Key pairs made for these tests and used nowhere else.
#ifndef VALVECHAIN_TEST_TOKEN_KEYS_H
#define VALVECHAIN_TEST_TOKEN_KEYS_H

static const char rsa_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC4P2OREkIkDH7T\n"
    "RC9qcPM8ziHJlN5TmXu5jmuEKg++NnGQGoPdvYq8h5IUrvjdTXnEU5/EKkuI1xe9\n"
    "4TSvRZlG4ABJuboRwcW9+k19Ue7wiJMixq/+WUttK1qcxoFGBhGH7GuoND/1TQZ2\n"
    "5SARVmQd+4R25BpT3iM3s436mlWRuYqbu2QOyARLCDo0F8AMVQiF3DvROwRnjQ10\n"
    "jxwGGbBF5nUSzqSsmppK4gjC1HOfT4jRxeEG6KPH/QpuBx9nDu3hGUCyjvtQgTay\n"
    "1Tyn3wtgviDzRNr0axaubl4n67ig+HnADQCqYjwXva1KSa4bs3umGfPdd6oxheKY\n"
    "o+2EFtJhAgMBAAECggEAJXt70XUB8Jx8JpWeAcz1pt6WgBBhhGdahL7E/6+g4UTp\n"
    "KHREdFVNhpob7UpFRZwv0/FhNMKX+EAty8qncaq6inEijd0TTe56QHJN1ltXPSbD\n"
    "rBT4k8ltr0ldFzzI6spsQZcmtaLfihM/5+sn8W7+Uh0rbxZrhrlPt9K25Q8Frm3U\n"
    "YYyZLrLI0mIkPr/IeiVKe7yhJMnqhJvvuFmG2dvTve2Jx5YdlEc/dTdN8Fn5M1fc\n"
    "gaNoBTouxDLLdt0nwUjYHYQYNd9PqziCLtK1QpMX16aVlhNyjjuGy3OPzdY8vOtI\n"
    "6N5/V3EzqaFE0A3PLGXY15ZXv/Hl1w0Qr6OH9+ymmQKBgQDs/z1bLnu7kYBivMIH\n"
    "NUu8d02bZfm7E4AGGjGwoXXsy/BbDOX62+31qsM+R+qmf9F/cpuZ46zAKGWK7kAn\n"
    "K2Ymqo7kyvpBh8ursxs7NgXbpYbwdv/E/YPy7HQYxQpqOVpfrkqwMyidd2x466q1\n"
    "fBtir3ZKHWWsFDINR/9pAggH5QKBgQDHBWEYEXaaZ0X9GkQeqlI4hORX1JUB48hI\n"
    "N//n4uTOQzkSSs4EvB9xSDs5lbq89YlZWEEfz55Qi2QVbbxDQNd6OAsx2FM/s8Ha\n"
    "UA6Q7gtopgm+xdkkyz9UjGPLwhkagDurkEIh9inTGzm0EhKzubx1wSab2klkaPGR\n"
    "Co3ZOX6AzQKBgEp1TmONURZ2+i0LPLJjDi5iFSHTgghCciB4rk/eClyhHhydCswr\n"
    "uLFMOxcgJRq2Ya125mgM3cNpba2eeM1VlzxirY44LzPTZCvHk7CgomqFsMVvvZ+4\n"
    "PnJd04PMtB73cetJqPF+wS3nzU6YTAPEwB3bHoDeh4jut2Lw0c+98aP5AoGAVB2W\n"
    "6ug+m4W4k//s+JT+CTtJk0Ga9OCD/toEQ8qm7/KDhZKuPlwQYf2oYm9BLKoOMf/W\n"
    "Do7el6ZCV7g4kKgwKkzTlm6ayNq9vPqHHYQuuD0s8z+FxkJM8vwfFbhkicnW7m0b\n"
    "NmVnSf1AxzW4R9PhrldDbS22RUUBjE7MoxnkuKUCgYEA53bdRhFKRIjIjjimR5qK\n"
    "F+tPXYzGl2aE6XnKf0193BQi7VLiVoMEWmQDMXQiHdGNfwwNqTuMXHeOdqfwxG9E\n"
    "eg0tTx2p8K6BnCZrGfe241i7+r0X8EqLV3bqA7BhVUWRS5OgZxfuXHCIakt+cIJo\n"
    "2B0Syjkxm3Dai5TlO/pOZyU=\n"
    "-----END PRIVATE KEY-----\n";
static const char rsa_public[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuD9jkRJCJAx+00QvanDz\n"
    "PM4hyZTeU5l7uY5rhCoPvjZxkBqD3b2KvIeSFK743U15xFOfxCpLiNcXveE0r0WZ\n"
    "RuAASbm6EcHFvfpNfVHu8IiTIsav/llLbStanMaBRgYRh+xrqDQ/9U0GduUgEVZk\n"
    "HfuEduQaU94jN7ON+ppVkbmKm7tkDsgESwg6NBfADFUIhdw70TsEZ40NdI8cBhmw\n"
    "ReZ1Es6krJqaSuIIwtRzn0+I0cXhBuijx/0KbgcfZw7t4RlAso77UIE2stU8p98L\n"
    "YL4g80Ta9GsWrm5eJ+u4oPh5wA0AqmI8F72tSkmuG7N7phnz3XeqMYXimKPthBbS\n"
    "YQIDAQAB\n"
    "-----END PUBLIC KEY-----\n";
static const char ec_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4NU2nCf2RIsH6bXf\n"
    "GAj311wXQrVc0mKJZuzXBkEUO1ahRANCAAR0ZuS4o/CfGlosUuKzM9K+M4M80b9V\n"
    "EWxAbYfNv0w8kqaXXLPUCVwpgqaRfQwDwAu+4HsPBxXTaut9cIYnekYg\n"
    "-----END PRIVATE KEY-----\n";
static const char ec_public[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdGbkuKPwnxpaLFLiszPSvjODPNG/\n"
                                "VRFsQG2Hzb9MPJKml1yz1AlcKYKmkX0MA8ALvuB7DwcV02rrfXCGJ3pGIA==\n"
                                "-----END PUBLIC KEY-----\n";
static const char ec384_public[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEby8dDhop0ceRMGXAIjBxrtU2YO33w7yh\n"
    "arWERJSOFU6V7a5jY2it4HFYjA82yna8c2H330eL6hzafNBEgFe0CgYxharMJT77\n"
    "bEuVacCq2aHYU/+u+lyKPcWkQiwy8rYl\n"
    "-----END PUBLIC KEY-----\n";

#endif
