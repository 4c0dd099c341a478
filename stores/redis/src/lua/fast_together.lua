-- Behind fast.lua, where the calls of several callers travel together: what could not be done is asked again, alone.
if failed then answer = answer .. string.char(unpack(failed)) end
return answer
